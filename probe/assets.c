/* The assembler copies the files in as they are; the Makefile knows that this file follows from
 * them. */
#include "probe/assets.h"

#define ASSET(name, file)                                                                          \
    __asm__(".section .rodata\n.global " #name "\n" #name ":\n.incbin \"" file                     \
            "\"\n.byte 0\n.size " #name ", .-" #name "\n.type " #name ", @object\n.previous\n")

ASSET(asset_style, "probe/dashboard.css");
ASSET(asset_script, "probe/dashboard.js");
