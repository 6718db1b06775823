# volley: `make run` installs, builds and runs everything; `make test` installs what tests need and runs them all.
# The others: build deps bench lint format fuzz test-long test-arm64 test-compose install clean.

.DEFAULT_GOAL := build
SHELL := /bin/bash
.DELETE_ON_ERROR:

# ---- what is built ---------------------------------------------------------------------------------------------------
# One folder, one archive. DIRS=… on the command line builds a part of the tree.
DIRS ?= common/base common/nostr common/net common/config httpd queue ingest publisher probe up ctl
TEST_DIRS ?= $(filter-out $(DIRS),tests/support)
MODE ?= release
OUT  := build/$(MODE)

CC ?= cc
PKGS := libzmq hiredis lmdb libmicrohttpd yaml-0.1 libsecp256k1 libcjson libcurl libuv openssl
VERSION := $(shell cat VERSION)
CPPFLAGS += -I. -D_GNU_SOURCE -DVERSION='"$(VERSION)"'
WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wformat=2 -Wundef \
        -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wno-missing-field-initializers
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
CFLAGS_debug := -O1 -g
ALL_CFLAGS := -std=gnu17 $(WARN) $(CFLAGS_$(MODE)) $(CFLAGS)
LDLIBS = -lwslay $(shell pkg-config --libs $(PKGS)) -lm

ARCHIVES := $(foreach d,$(DIRS),$(OUT)/$(d)/lib.a)
ALL_ARCHIVES := -Wl,--start-group $(ARCHIVES) -Wl,--end-group
# What several tests share; never part of volley itself.
TEST_ARCHIVES := $(foreach d,$(TEST_DIRS),$(OUT)/$(d)/lib.a)
# `make V=1` shows the whole commands.
Q := $(if $(V),,@)
say = @printf '  %-5s%s\n' $(1) $@

objects = $(patsubst %.c,$(OUT)/%.o,$(wildcard $(1)/*.c))

TESTS := $(patsubst %.c,$(OUT)/%,$(wildcard tests/unit/test_*.c tests/contract/test_*.c tests/sim/test_*.c))
BENCHES := $(patsubst %.c,$(OUT)/%,$(wildcard tests/bench/bench_*.c))

.PHONY: build
build: $(OUT)/volley $(OUT)/practice
	$(if $(filter release,$(MODE)),@ln -sfn release/volley build/volley && ln -sfn release/practice build/practice)

$(OUT)/volley: $(OUT)/volley.o $(ARCHIVES)
	$(call say,link)
	$(Q)$(CC) $(ALL_CFLAGS) $< $(ALL_ARCHIVES) $(LDLIBS) -o $@

# Relays on loopback that misbehave on command, and a client that posts: for the demonstration and the tests.
$(OUT)/practice: $(call objects,tests/practice) $(ARCHIVES)
	$(call say,link)
	$(Q)$(CC) $(ALL_CFLAGS) $(filter %.o,$^) $(ALL_ARCHIVES) $(LDLIBS) -o $@

# Preloaded into the broker, to show when a commit is durable.
$(OUT)/shim.so: tests/shim/durable.c
	@mkdir -p $(@D)
	$(call say,link)
	$(Q)$(CC) -std=gnu17 -O2 -g -Wall -Wextra -Werror -fPIC -shared $< -ldl -o $@

# Preloaded into a redis-server, whose clock the tests then set.
$(OUT)/clock.so: tests/shim/clock.c
	@mkdir -p $(@D)
	$(call say,link)
	$(Q)$(CC) -std=gnu17 -O2 -g -Wall -Wextra -Werror -fPIC -shared $< -ldl -o $@

$(OUT)/%.o: %.c VERSION
	@mkdir -p $(@D)
	$(call say,cc)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(OUT)/probe/assets.o: probe/dashboard.css probe/dashboard.js

define archive_rule
$(OUT)/$(1)/lib.a: $(call objects,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$(Q)ar rcs $$@ $$^
endef
$(foreach d,$(DIRS) $(TEST_DIRS),$(eval $(call archive_rule,$(d))))

# The scripts that are the queue inside Redis, as they are, in one C file: see queue/redis_scripts.h.
LUA := $(sort $(wildcard queue/redis/*.lua))
$(OUT)/queue/redis_sources.c: $(LUA) Makefile
	@mkdir -p $(@D)
	$(call say,lua)
	$(Q){ echo '#include "queue/redis_scripts.h"'; \
	for f in $(LUA); do n=$${f##*/}; n=$${n%.lua}; echo "static const unsigned char text_$$n[] = {"; \
	    od -An -v -tx1 "$$f" | sed 's/ \(..\)/0x\1,/g'; echo '0};'; done; \
	echo 'const struct redis_source redis_sources[] = {'; \
	for f in $(LUA); do n=$${f##*/}; n=$${n%.lua}; echo "{\"$$n\", (const char *)text_$$n, sizeof text_$$n - 1},"; done; \
	echo '{"", NULL, 0}};'; } > $@
$(OUT)/queue/redis_sources.o: $(OUT)/queue/redis_sources.c
	$(call say,cc)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
$(OUT)/queue/lib.a: $(OUT)/queue/redis_sources.o

# A test is a program of its own: tests/unit/test_buf.c → build/asan/tests/unit/test_buf.
$(OUT)/tests/%: $(OUT)/tests/%.o $(ARCHIVES) $(TEST_ARCHIVES)
	$(call say,link)
	$(Q)$(CC) $(ALL_CFLAGS) $< -Wl,--start-group $(TEST_ARCHIVES) $(ARCHIVES) -Wl,--end-group $(LDLIBS) -lcmocka -o $@

-include $(shell find build -name root -prune -o -name '*.d' -print 2>/dev/null)
.PRECIOUS: $(OUT)/%.o

# ---- what a machine needs --------------------------------------------------------------------------------------------
RUN_DEPS := build-essential tor pkg-config libzmq3-dev libhiredis-dev libsecp256k1-dev libcjson-dev libcurl4-openssl-dev libuv1-dev \
            liblmdb-dev libwslay-dev libmicrohttpd-dev libyaml-dev libssl-dev uthash-dev ca-certificates
TEST_DEPS := libcmocka-dev redis-server python3 clang-format openssl dnsmasq-base iproute2 nftables util-linux tmux jq \
             chromium chromium-driver prometheus debootstrap
LONG_DEPS := clang libclang-rt-14-dev valgrind gcc-aarch64-linux-gnu qemu-user-static

.PHONY: deps deps-test deps-long
deps:
	@tests/install-deps $(RUN_DEPS)
deps-test:
	@tests/install-deps $(RUN_DEPS) $(TEST_DEPS)
deps-long:
	@tests/install-deps $(RUN_DEPS) $(TEST_DEPS) $(LONG_DEPS)

# ---- running ---------------------------------------------------------------------------------------------------------
# With volley.yaml: that. Without: practice relays on loopback, a thousand events, and the depth table as it drains.
.PHONY: run
run: deps
	@$(MAKE) --no-print-directory -j$$(nproc) build
	@if [ -e volley.yaml ]; then exec build/volley up -c volley.yaml; else exec tests/practice/demo.sh $(ONCE); fi

# ---- testing ---------------------------------------------------------------------------------------------------------
.PHONY: test test-binaries
test: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) build build/release/shim.so build/release/clock.so lint
	@$(MAKE) --no-print-directory -j$$(nproc) MODE=asan test-binaries
	@tests/run $(PART)

# compose.yaml with practice relays in containers; part of `make test`, and skipped by name where no engine runs.
.PHONY: test-compose
test-compose: deps-test
	@$(MAKE) --no-print-directory -j$$(nproc) build
	@tests/run tests/compose

test-binaries: $(OUT)/volley $(OUT)/practice $(TESTS)

.PHONY: bench
bench:
	@$(MAKE) --no-print-directory -j$$(nproc) build bench-binaries
	@for b in $(BENCHES); do echo "== $$b"; $$b || exit 1; done
.PHONY: bench-binaries
bench-binaries: $(BENCHES)

.PHONY: test-long
test-long: deps-long
	@tests/long

# volley for aarch64, emulated: a part of test-long.
.PHONY: test-arm64
test-arm64: deps-long
	@tests/arm64

.PHONY: fuzz
fuzz: deps-long
	@tests/fuzz/run $(SECONDS_EACH)

# ---- looks -----------------------------------------------------------------------------------------------------------
SOURCES = $(shell git ls-files -co --exclude-standard '*.c' '*.h')
.PHONY: lint format
lint:
	@tests/lint
format:
	clang-format -i $(SOURCES)

# ---- installing ------------------------------------------------------------------------------------------------------
# Where Debian looks for each: `make install PREFIX=/usr DESTDIR=…` for a package, `sudo make install` for this machine.
# Manual pages and completion are written by the program itself.
PREFIX ?= /usr/local
SHARE = $(DESTDIR)$(PREFIX)/share
UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/system
.PHONY: install
install: build
	install -D -m 755 $(OUT)/volley $(DESTDIR)$(PREFIX)/bin/volley
	@rm -rf $(OUT)/man && mkdir -p $(OUT)/man
	$(OUT)/volley --man $(OUT)/man
	install -d $(SHARE)/man/man1 $(SHARE)/man/man5 $(SHARE)/bash-completion/completions $(SHARE)/doc/volley/examples $(UNITS)
	install -m 644 $(OUT)/man/*.1 $(SHARE)/man/man1
	install -m 644 $(OUT)/man/*.5 $(SHARE)/man/man5
	$(OUT)/volley --completion | install -m 644 /dev/stdin $(SHARE)/bash-completion/completions/volley
	install -m 644 volley.example.yaml $(SHARE)/doc/volley/examples
	install -m 644 README.md docs/*.md LICENSE $(SHARE)/doc/volley
	install -D -m 644 -t $(SHARE)/doc/volley/monitoring docs/monitoring/*
	for unit in packaging/systemd/*.service; do \
	    sed 's|/usr/bin/volley|$(PREFIX)/bin/volley|' $$unit | install -m 644 /dev/stdin $(UNITS)/$${unit##*/} || exit 1; done

.PHONY: clean
clean:
	rm -rf build
