# twinspool. Everything is built into build/. Read it top to bottom: settings, rules, targets.
#   make            the daemons                 make check   all tests (about 15 minutes)
#   make run        a whole suite on 127.0.0.1  make asan    unit tests under ASan and UBSan
# Each installs the Debian packages it lacks (make deps) and says so.

PREFIX	= /usr/local
DESTDIR	=
CC	= cc
B	= build
O	= $(B)/o
VERSION	= 0.1

DAEMONS	= proxyd relayd lmtpd spoold rotated mupdated
PKGS	= libevent_core lmdb libsasl2 libseccomp openssl libisal libutf8proc
DEPS_BUILD = build-essential pkg-config libevent-dev liblmdb-dev libsasl2-dev libsasl2-modules sasl2-bin \
	libseccomp-dev libssl-dev libisal-dev libutf8proc-dev zlib1g-dev runit openssl
DEPS_CHECK = libcmocka-dev python3 mandoc clang postfix swaks isync mutt fetchmail getmail6 curl ca-certificates procps \
	neomutt offlineimap3 imapfilter libmail-imapclient-perl libio-socket-ssl-perl e2fsprogs xfsprogs mount fuse3 libfuse3-dev
DEPS_BENCH_TOOLS = e2fsprogs xfsprogs mount strace python3-matplotlib

WARN	= -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 \
	-Werror=format-security $(if $(NO_WERROR),,-Werror)
HARDEN	= -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
OPT	= -O2 -g
SAN	=
CPPF	= -D_GNU_SOURCE -DTS_VERSION='"$(VERSION)"' -Ilib $(PC_CFLAGS)
CFLAGS	= -std=c17 $(OPT) $(WARN) $(if $(SAN),,$(HARDEN)) $(SAN)
LDFLAGS	= -pie -Wl,-z,relro,-z,now $(SAN)
LIBS	= $(PC_LIBS) -lpthread
# Asked once, at the first compilation: before that `make deps` may still have to install pkg-config.
PC_CFLAGS = $(eval PC_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PC_CFLAGS)
PC_LIBS	= $(eval PC_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PC_LIBS)

# Sources of a room: all .c below it, one level of folders deep. Its main is DAEMON/DAEMON.c; helper
# programs are DAEMON/prog_NAME.c and become build/NAME.
srcs	= $(sort $(wildcard $(1)/*.c $(1)/*/*.c))
objs	= $(patsubst %.c,$(O)/%.o,$(filter-out $(1)/$(1).c $(1)/prog_%.c,$(call srcs,$(1))))
progs	= $(patsubst $(1)/prog_%.c,$(B)/%,$(wildcard $(1)/prog_*.c))
PROGS	= $(foreach d,$(DAEMONS),$(call progs,$(d)))
TESTS	= $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/*/test_*.c)))
FUZZ	= $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/*/fuzz_*.c)))

all: $(addprefix $(B)/,$(DAEMONS)) $(PROGS)

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPF) -I$(firstword $(subst /, ,$*)) $(CFLAGS) -MMD -MP -c -o $@ $<

define room
$(O)/$(1).a: $(call objs,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	ar crs $$@ $$^
endef
$(foreach r,lib $(DAEMONS),$(eval $(call room,$(r))))

define daemon
$(B)/$(1): $(O)/$(1)/$(1).o $(O)/$(1).a $(O)/lib.a
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LIBS)
$(call progs,$(1)): $(B)/%: $(O)/$(1)/prog_%.o $(O)/$(1).a $(O)/lib.a
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(foreach d,$(DAEMONS),$(eval $(call daemon,$(d))))

# tests/ROOM/test_X.c sees ROOM's headers and everything of ROOM but its main.
$(O)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPF) -I$(firstword $(subst /, ,$*)) $(CFLAGS) -MMD -MP -c -o $@ $<

define testrules
$(B)/tests/$(1)/test_%: $(O)/tests/$(1)/test_%.o $(if $(filter lib,$(1)),,$(O)/$(1).a) $(O)/lib.a
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LIBS) -lcmocka
$(B)/tests/$(1)/fuzz_%: $(O)/tests/$(1)/fuzz_%.o $(if $(FUZZER),,$(O)/tests/fuzz_main.o) $(if $(filter lib,$(1)),,$(O)/$(1).a) $(O)/lib.a
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS) $$(FUZZER) -o $$@ $$^ $$(LIBS)
endef
$(foreach r,lib $(DAEMONS),$(eval $(call testrules,$(r))))

BENCH	= $(patsubst %.c,$(B)/%,$(wildcard tests/bench/*.c))
$(O)/tests/bench/big%.o: CPPF += -Ispoold
$(B)/tests/bench/bigstore: $(O)/spoold.a $(O)/lib.a
$(BENCH): $(B)/%: $(O)/%.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

# The crash explorer: a file system that records, what it preloads into the daemons, and what recovers the states.
CRASH	= $(addprefix $(B)/tests/crash/,crashfs syncfs.so crashcheck)
$(B)/tests/crash/crashfs: tests/crash/crashfs.c tests/crash/oplog.h
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE $(CFLAGS) $$(pkg-config --cflags fuse3) $(LDFLAGS) -o $@ $< $$(pkg-config --libs fuse3)
$(B)/tests/crash/syncfs.so: tests/crash/syncfs.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -O2 -shared -fPIC -o $@ $<
$(B)/tests/crash/crashcheck: $(patsubst %.c,$(O)/%.o,$(wildcard tests/crash/crashcheck*.c)) $(O)/spoold.a $(O)/lib.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
$(O)/tests/crash/%.o: tests/crash/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPF) -Ispoold $(CFLAGS) -MMD -MP -c -o $@ $<

tests: all $(TESTS) $(FUZZ) $(BENCH) $(CRASH)

# --- packages: says what it lacks and installs that, with sudo when not root; nothing when all is there
SUDO	= $(if $(filter 0,$(shell id -u)),,sudo)
define install_packages
	@missing=; for p in $(1); do \
		dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing Debian packages:$$missing"; \
		$(SUDO) apt-get update -qq && \
		printf 'postfix postfix/main_mailer_type select No configuration\n' | $(SUDO) debconf-set-selections && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
endef

deps:
	$(call install_packages,$(DEPS_BUILD) $(DEPS_CHECK))
deps-run:
	$(call install_packages,$(DEPS_BUILD))

# --- running and testing
run: deps-run
	@$(MAKE) --no-print-directory -s -j2 all
	@exec conf/run-suite

# Root's day logs are append-only (chattr +a): not even root removes them as they are.
clean-state:
	@[ ! -d run-state ] || chattr -R -a run-state 2>/dev/null || true
	rm -rf run-state

# Everything a newcomer should see pass: unit tests, fuzz corpora, manual pages, and the system tests
# with real daemons and real peers. Ends with "N passed, N failed".
check: deps
	@$(MAKE) --no-print-directory -s -j2 tests
	@python3 tests/run.py all

unit: tests
	@python3 tests/run.py unit

# Unit tests and corpora under AddressSanitizer and UndefinedBehaviorSanitizer, in a build folder of their own.
asan: deps
	@$(MAKE) --no-print-directory -s -j2 B=$(B)/asan OPT="-O1 -g" \
		SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" tests
	@TS_BUILD=$(B)/asan python3 tests/run.py unit badinput

# Coverage-guided, FUZZ_SECONDS for each parser; new inputs that matter are kept in build/fuzz.
FUZZ_SECONDS = 120
fuzz: deps
	@$(MAKE) --no-print-directory -s -j2 B=$(B)/fuzz CC=clang OPT="-O1 -g" FUZZER=-fsanitize=fuzzer \
		SAN="-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined" \
		$(patsubst $(B)/%,$(B)/fuzz/%,$(FUZZ))
	@python3 tests/run.py fuzz --seconds $(FUZZ_SECONDS)

# 2,000 kills at random moments under load, about ten minutes (make check runs a short sample).
soak: deps
	@$(MAKE) --no-print-directory -s -j2 all
	@python3 tests/run.py soak

# Clients on the same mailboxes at once, half of the time with workers killed (make check runs a short sample).
CONCURRENCY_SECONDS = 600
CONCURRENCY_CLIENTS = 10
concurrency: deps
	@$(MAKE) --no-print-directory -s -j2 all
	@TS_SECONDS=$(CONCURRENCY_SECONDS) TS_CLIENTS=$(CONCURRENCY_CLIENTS) python3 tests/run.py concurrency

# The power cut again and again under load, POWERCUT_SECONDS on an ext4 and as long on an XFS (make check takes a sample).
POWERCUT_SECONDS = 600
powercut: deps
	@$(MAKE) --no-print-directory -s -j2 all
	@python3 tests/run.py powercut --seconds $(POWERCUT_SECONDS)

# Every state that a loss of power could leave of a scripted run (make check takes a sample); and whether
# planted bugs are found.
crash: deps
	@$(MAKE) --no-print-directory -s -j2 tests
	@python3 tests/crash/crash.py --seeds 5 --randoms 12

crash-bugs: deps
	@python3 tests/crash/bugs.py

bench: deps
	$(call install_packages,$(DEPS_BENCH_TOOLS))
	@$(MAKE) --no-print-directory -s -j2 tests
	@python3 tests/bench/bench.py
	@python3 tests/bench/imap.py

# The sessions' part of it: throughput, large mailboxes, memory of idling sessions, time to EXISTS.
bench-imap: deps
	$(call install_packages,$(DEPS_BENCH_TOOLS))
	@$(MAKE) --no-print-directory -s -j2 tests
	@python3 tests/bench/imap.py

# What a mailbox of 1,000,000 messages costs: minutes, and 3 GiB of disk.
bench-big: deps
	@$(MAKE) --no-print-directory -s -j2 tests
	@python3 tests/bench/big.py

lint: deps
	@python3 tests/run.py lint

man:
	@for p in man/*.[1-8]; do mandoc -Tlint -W warning $$p || exit 1; done

# --- installing: programs, pages, commented configuration (never over an existing one), service directories
install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man7 \
		$(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)/etc/twinspool $(DESTDIR)$(PREFIX)/share/twinspool
	install -m 0755 $(addprefix $(B)/,$(DAEMONS)) $(PROGS) $(DESTDIR)$(PREFIX)/sbin
	for n in 5 7 8; do install -m 0644 man/*.$$n $(DESTDIR)$(PREFIX)/share/man/man$$n; done
	for p in rotatectl redundantcat; do ln -sf rotated.8 $(DESTDIR)$(PREFIX)/share/man/man8/$$p.8; done
	for f in conf/*.conf conf/*.table; do \
		[ -e $(DESTDIR)/etc/twinspool/$${f##*/} ] || install -m 0644 $$f $(DESTDIR)/etc/twinspool; \
	done
	cp -R conf/sv conf/service $(DESTDIR)$(PREFIX)/share/twinspool

clean:
	rm -rf $(B)

.PHONY: all tests deps deps-run run clean-state check unit asan fuzz soak concurrency powercut crash crash-bugs bench bench-imap bench-big lint man \
	install clean
.SECONDARY:
-include $(shell find $(O) -name '*.d' 2>/dev/null)
