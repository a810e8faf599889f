/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "power/uri.h"

/*
 * What bramble.conf says of power: [power] for all, [switch NAME] for a switch with PoE and SNMP, [power NAME] for any other
 * device. A section that names boards gives them its ports in order, so that a rack is three lines:
 *
 *   [switch rack1]
 *   address = 10.0.0.2
 *   boards = pi[01-24]
 */
struct br_power_limits { /* 0: not said */
	uint64_t delay_ns;    /* between two boards that one device switches on */
	uint64_t off_time_ns; /* of a cycle */
	uint64_t timeout_ns;  /* of one thing asked of a device */
	unsigned at_once;     /* things asked of a device at the same time */
};

struct br_power_section { /* strings owned, NULL: not set */
	char name[64];
	bool is_switch;
	char *uri;				 /* with {port} and {board} */
	char *on, *off, *reset, *status;	 /* URLs with {port} and {board} */
	char *status_on;			 /* regular expression: the answer of a status that says on */
	char *command;				 /* as power-command of [serve], also {port} */
	char *address, *community, *user, *password, *auth_protocol, *auth_password, *priv_protocol, *priv_password;
	char **boards, **ports;
	size_t n_boards, n_ports;
	struct br_power_limits limits;
};

struct br_power_conf {
	struct br_power_section *sections;
	size_t n, cap;
	struct br_power_limits limits;
	uint64_t boot_ns;	   /* boot-timeout: how long after power-on a board may take to ask for its boot */
	uint64_t idle_off_ns;	   /* 0: never */
	bool has_quarantine_after;
	unsigned quarantine_after; /* failures in a row; 0: never */
	char *ssh_key, *ssh_user;  /* of a soft reboot */
};

/*
 * One setting; section: "power", "power NAME" or "switch NAME". Files with secrets are read here, while the daemon may. -EINVAL
 * with words.
 */
int br_power_conf_set(struct br_power_conf *conf, const char *section, const char *key, const char *value, struct br_error *err);
/* Once all is read: what sections lack or have too much. */
int br_power_conf_check(const struct br_power_conf *conf, struct br_error *err);
void br_power_conf_done(struct br_power_conf *conf);

const struct br_power_section *br_power_conf_find(const struct br_power_conf *conf, const char *name);
/* The URI that a section's 'boards' gives a board: 0, or -ENOENT: none does. */
int br_power_conf_uri(const struct br_power_conf *conf, const char *board, char *ret, size_t size);
/* The limits of a device: the section's, else those of [power], else the defaults. section may be NULL. */
struct br_power_limits br_power_conf_limits(const struct br_power_conf *conf, const struct br_power_section *section,
	enum br_power_scheme scheme);
/* boot-timeout and quarantine-after with their defaults. */
uint64_t br_power_conf_boot_ns(const struct br_power_conf *conf);
unsigned br_power_conf_quarantine_after(const struct br_power_conf *conf);

/* Words when a template of a command is no good, NULL when it is. */
const char *br_power_command_check(const char *command);
/* A text with {port}, {board} ... replaced; url: values are made fit for a URL. NULL: too long for size. Returns out. */
struct br_power_field {
	const char *name, *value;
};
const char *br_power_fill(char *out, size_t size, const char *template, const struct br_power_field *fields, bool url);
