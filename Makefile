# twinspool. Everything is built into build/. Read it top to bottom: settings, rules, targets.
#   make            the daemons                 make check   all tests (about 15 minutes)
#   make run        a whole suite on 127.0.0.1  make asan    unit tests under ASan and UBSan
# Each installs the Debian packages it lacks (make deps) and says so.

PREFIX	= /usr/local
DESTDIR	=
CC	= cc
B	= build
VERSION	= 0.1

DAEMONS	= proxyd relayd lmtpd spoold rotated mupdated
PKGS	= libevent_core lmdb libsasl2 libseccomp openssl libisal libutf8proc
DEPS_BUILD = build-essential pkg-config libevent-dev liblmdb-dev libsasl2-dev libsasl2-modules sasl2-bin \
	libseccomp-dev libssl-dev libisal-dev libutf8proc-dev zlib1g-dev runit openssl
DEPS_CHECK = libcmocka-dev python3 mandoc clang

WARN	= -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 \
	-Werror=format-security $(if $(NO_WERROR),,-Werror)
HARDEN	= -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
OPT	= -O2 -g
SAN	=
CPPF	= -D_GNU_SOURCE -DTS_VERSION='"$(VERSION)"' -Ilib $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS	= -std=c17 $(OPT) $(WARN) $(if $(SAN),,$(HARDEN)) $(SAN)
LDFLAGS	= -pie -Wl,-z,relro,-z,now $(SAN)
LIBS	= $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lpthread

# Sources of a room: all .c below it, one level of folders deep. Its main is DAEMON/DAEMON.c; helper
# programs are DAEMON/prog_NAME.c and become build/NAME.
srcs	= $(sort $(wildcard $(1)/*.c $(1)/*/*.c))
objs	= $(patsubst %.c,$(B)/%.o,$(filter-out $(1)/$(1).c $(1)/prog_%.c,$(call srcs,$(1))))
progs	= $(patsubst $(1)/prog_%.c,$(B)/%,$(wildcard $(1)/prog_*.c))
PROGS	= $(foreach d,$(DAEMONS),$(call progs,$(d)))
TESTS	= $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/*/test_*.c)))
FUZZ	= $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/*/fuzz_*.c)))

all: $(addprefix $(B)/,$(DAEMONS)) $(PROGS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPF) -I$(firstword $(subst /, ,$*)) $(CFLAGS) -MMD -MP -c -o $@ $<

define room
$(B)/$(1).a: $(call objs,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	ar crs $$@ $$^
endef
$(foreach r,lib $(DAEMONS),$(eval $(call room,$(r))))

define daemon
$(B)/$(1): $(B)/$(1)/$(1).o $(B)/$(1).a $(B)/lib.a
	$(CC) $(LDFLAGS) -o $$@ $$^ $(LIBS)
$(call progs,$(1)): $(B)/%: $(B)/$(1)/prog_%.o $(B)/$(1).a $(B)/lib.a
	$(CC) $(LDFLAGS) -o $$@ $$^ $(LIBS)
endef
$(foreach d,$(DAEMONS),$(eval $(call daemon,$(d))))

# tests/ROOM/test_X.c sees ROOM's headers and everything of ROOM but its main.
room_of	= $(word 3,$(subst /, ,$(1)))
$(B)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPF) -I$(firstword $(subst /, ,$*)) $(CFLAGS) -MMD -MP -c -o $@ $<

define testrules
$(B)/tests/$(1)/test_%: $(B)/tests/$(1)/test_%.o $(if $(filter lib,$(1)),,$(B)/$(1).a) $(B)/lib.a
	$(CC) $(LDFLAGS) -o $$@ $$^ $(LIBS) -lcmocka
$(B)/tests/$(1)/fuzz_%: $(B)/tests/$(1)/fuzz_%.o $(if $(FUZZER),,$(B)/tests/fuzz_main.o) $(if $(filter lib,$(1)),,$(B)/$(1).a) $(B)/lib.a
	$(CC) $(LDFLAGS) $(FUZZER) -o $$@ $$^ $(LIBS)
endef
$(foreach r,lib $(DAEMONS),$(eval $(call testrules,$(r))))

tests: $(TESTS) $(FUZZ)

clean:
	rm -rf $(B)

.PHONY: all tests clean
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
