# volley: `make run` installs, builds and runs everything; `make test` installs what tests need and runs them all.
# Everything else: build deps bench lint format fuzz test-long install clean.

.DEFAULT_GOAL := build
SHELL := /bin/bash

# One folder, one archive. DIRS=… on the command line builds a part of the tree.
DIRS ?= common/base common/nostr common/net queue ingest publisher up ctl
MODE ?= release
OUT  := build/$(MODE)

CC ?= cc
PKGS := libzmq lmdb libmicrohttpd yaml-0.1 libsecp256k1 libcjson libcurl libuv openssl
CPPFLAGS := -I. -D_GNU_SOURCE -DVERSION='"$(shell cat VERSION)"'
WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wformat=2 -Wundef \
        -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wno-missing-field-initializers
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
CFLAGS := -std=gnu17 $(WARN) $(CFLAGS_$(MODE))
LDLIBS := -lwslay $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm

ARCHIVES := $(foreach d,$(DIRS),$(OUT)/$(d)/lib.a)
objects = $(patsubst %.c,$(OUT)/%.o,$(wildcard $(1)/*.c))

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

define archive_rule
$(OUT)/$(1)/lib.a: $(call objects,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach d,$(DIRS),$(eval $(call archive_rule,$(d))))

# A test is a program of its own: tests/unit/test_buf.c → build/asan/tests/unit/test_buf.
$(OUT)/tests/%: $(OUT)/tests/%.o $(ARCHIVES)
	$(CC) $(CFLAGS) $(filter %.o,$^) -Wl,--start-group $(ARCHIVES) -Wl,--end-group $(LDLIBS) -lcmocka -o $@

-include $(shell find build -name '*.d' 2>/dev/null)
.PRECIOUS: $(OUT)/%.o
