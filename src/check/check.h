/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * What is wrong with this host for a boot server: each finding with what it does to boards and a command that cures it. Everything is
 * only read (/proc, /sys, nft -j list); frames are listened to, none is sent.
 */
enum br_severity { BR_CHECK_OK, BR_CHECK_NOTE, BR_CHECK_WARNING, BR_CHECK_ERROR, BR_CHECK_LEVELS };
extern const char *const br_severity_names[BR_CHECK_LEVELS]; /* "ok", "note", "warning", "error" */

struct br_checks {
	const char *root;      /* before /proc, /sys and /etc: "" but in tests */
	const char *interface; /* the boards' network; "" : not known (any more) */
	const char *state;     /* directory */
	unsigned listen_ms;    /* to frames of the network, 0: not */
	const json_t *status;  /* of the daemon, GET /v1/status; NULL: none runs */
	const json_t *boards;  /* of the daemon, or NULL */
	json_t *findings;      /* objects: severity, check, what, why, cure (null: none) */
	enum br_severity worst;
};

/* All of the table in check.c. */
int br_check_run(struct br_checks *c, struct br_error *err);

/* For the checks. cure NULL: none. */
__attribute__((format(printf, 6, 7))) void br_check_add(struct br_checks *c, enum br_severity severity, const char *check, const char *why,
	const char *cure, const char *what, ...);
/* A small file below root, its newline cut, free(); NULL: it is not there. */
char *br_check_read(const struct br_checks *c, const char *path);
/* As a number; -1: it is not there, or none. */
int64_t br_check_number(const struct br_checks *c, const char *path);

void br_check_ports(struct br_checks *c);
void br_check_drops(struct br_checks *c);
void br_check_interface(struct br_checks *c);
void br_check_neighbours(struct br_checks *c);
void br_check_reverse_path(struct br_checks *c);
void br_check_frames(struct br_checks *c);
void br_check_firewall(struct br_checks *c);
void br_check_clock(struct br_checks *c);
void br_check_room(struct br_checks *c);
void br_check_files(struct br_checks *c);
void br_check_modules(struct br_checks *c);
void br_check_daemon(struct br_checks *c);
void br_check_devices(struct br_checks *c);

/* What a frame tells (frames.c). */
struct br_bpdu {
	unsigned version;	/* 0 STP, 2 RSTP, 3 MSTP */
	unsigned forward_delay; /* s */
	unsigned hello;		/* s */
};
/* An Ethernet frame: true when it is a configuration BPDU. */
bool br_bpdu_parse(const uint8_t *frame, size_t n, struct br_bpdu *ret);
/* An Ethernet frame: true when it is a DHCP server's answer, with that server's address. */
bool br_check_offer_parse(const uint8_t *frame, size_t n, uint32_t *ret_ip);

/* What the rules of 'nft -j list ruleset' do with a new packet of a board to a port of ours. */
enum br_verdict { BR_FIREWALL_OPEN, BR_FIREWALL_MAYBE, BR_FIREWALL_CLOSED };
enum br_verdict br_firewall_judge(const json_t *ruleset, bool tcp, unsigned port, const char *interface, char *ret_chain, size_t size);
