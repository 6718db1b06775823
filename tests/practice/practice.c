#include "tests/practice/practice.h"

#include <string.h>

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "relays") == 0)
        return practice_relays(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "post") == 0)
        return practice_post(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "author") == 0)
        return practice_author(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "sign") == 0)
        return practice_sign();
    if (argc > 1 && strcmp(argv[1], "statistics") == 0)
        return practice_statistics(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "probe") == 0)
        return practice_probe(argc - 2, argv + 2);
    fprintf(stderr, "usage: practice relays [--record DIR] [--verify] [--anywhere] "
                    "NAME:STANCE[:PORT[:BEHAVIOUR]] …\n"
                    "       practice post URL [--count N] …\n"
                    "       practice author [SEED]\n"
                    "       practice sign < LINES\n"
                    "       practice statistics QUEUE\n"
                    "       practice probe QUEUE INTERVAL_MS [ANY IPV6 IPV4]\n");
    return 2;
}
