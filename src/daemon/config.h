/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "daemon/hooks.h"
#include "dhcp/server.h"
#include "fleet/share.h"
#include "power/conf.h"
#include "usb/policy.h"

/*
 * What 'bramble serve' was told: the file bramble.conf(5) first, the command line over it. Every setting is
 * one row of a table (config.c): its name is both the key in the file's [serve] section and the long option.
 */
struct br_config {
	char *image;	 /* a file, or a name in the store; NULL: none */
	char *interface; /* NULL: the one with the default route */
	char *address;	 /* "ADDR/PREFIX"; NULL: the one the interface has */
	char *dhcp;	 /* "auto", "full", "proxy", "off" */
	char *range;	 /* "FIRST-LAST"; NULL: the address's network */
	char *router;	 /* given to clients, addresses with commas between; NULL: none */
	char *dns;
	char *ntp;
	char *domain;
	char *subnets;	 /* behind relays: "NET/PREFIX=FIRST-LAST[@ROUTER],..."; NULL: none */
	char *lease;	 /* duration */
	char *disk;	 /* "volatile", "persistent", "ram" */
	char *persist;	 /* "off", "on", or a size */
	char *durability; /* "strict", "relaxed" */
	char *adopt;	 /* "yes", "no" */
	char *boots_at_once; /* "auto", "unlimited", or a number */
	char *boot_rate;     /* "auto", or bits a second */
	char *tftp_fast_path; /* "auto", "on", "off" */
	char *http_port; /* NULL: 80 when it is free; "0": none */
	char *web;	 /* "[ADDR:]PORT", "off"; NULL: 8480 when it is free */
	char *web_cert, *web_key; /* PEM files; NULL: no TLS */
	char *web_names; /* of this machine, commas between */
	char *web_read;	 /* "local", "token" */
	char *power_command; /* switches boards that nothing else is said of: power/conf.h; NULL: none */
	char *overrides; /* directory of boot files that people give */
	char *root_files; /* the same for the boards' root file systems */
	char *authorized_keys; /* file */
	char *keep_events; /* duration, or "forever" */
	char *max_events;  /* number, "0": no limit */
	char *logs;	   /* "on", "off" */
	char *board_logs;  /* "off", or "netconsole,syslog" */
	char *logs_size;   /* bytes */
	char *logs_age;	   /* duration, or "forever" */
	char *logs_rate;   /* lines a second of one board */
	char *user;	 /* to become after binding; NULL: owner of the state, else bramble, else nobody */
	char *state;
	char *log;	 /* "error", "warning", "info", "debug" */
	struct br_share *shares; /* the file's [share NAME] sections */
	size_t n_shares;
	struct br_hook *hooks; /* the file's [hook NAME] sections */
	size_t n_hooks;
	struct br_power_conf power; /* [power], [power NAME], [switch NAME] */
	struct br_usb_policy usb; /* [usb] and [usb ...], for 'bramble usb' */
};

#define BR_CONFIG_FILE "/etc/bramble/bramble.conf"
#define BR_OVERRIDES_DIR "/etc/bramble/boot"
#define BR_ROOT_FILES_DIR "/etc/bramble/root"
#define BR_KEYS_FILE "/etc/bramble/authorized_keys"

struct br_config_setting {
	const char *name;
	const char *arg;  /* for help: "ADDR/PREFIX" */
	const char *help; /* one line */
	const char *fallback;
	size_t offset;	  /* of the char * in struct br_config */
	/* NULL: any text. Returns words when the value is wrong, NULL when it is right. */
	const char *(*check)(const char *value);
};

/* The table, ended by name == NULL. */
extern const struct br_config_setting br_config_settings[];

/* The values of 'router', 'dns' and 'ntp', and of 'subnets': how many, or -EINVAL. */
int br_config_addresses(const char *value, uint32_t *ret, size_t max);
int br_config_subnets(const char *value, struct br_dhcp_subnet *ret, size_t max);

/* The values of 'boots-at-once' and 'boot-rate' as struct br_admission_options wants them (bytes a second), or -EINVAL. */
int br_config_at_once(const char *value, uint32_t *ret);
int br_config_rate(const char *value, uint64_t *ret);

/* Fills in the fallbacks. */
int br_config_init(struct br_config *config, struct br_error *err);
void br_config_done(struct br_config *config);
/* Checks and sets one; the words name the setting, the value and what would be right. */
int br_config_set(struct br_config *config, const struct br_config_setting *setting, const char *value,
	struct br_error *err);
/* Reads a file. A missing one is an error only when must_exist. Unknown sections and keys are errors with the line. */
int br_config_read(struct br_config *config, const char *path, bool must_exist, struct br_error *err);
