/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What 'bramble top' knows of the fleet, folded from GET /v1/boards and the messages of GET /v1/live. Texts of boards are made
 * safe for a terminal on the way in. No terminal and no clock in here; times are seconds since 1970.
 */
enum br_top_state { /* in the order of what needs a person, then of a boot */
	BR_TOP_WRONG,
	BR_TOP_WAITING,
	BR_TOP_FIRMWARE_DHCP,
	BR_TOP_BOOTCODE_DHCP,
	BR_TOP_FIRMWARE_FILES,
	BR_TOP_KERNEL_SENT,
	BR_TOP_KERNEL_DHCP,
	BR_TOP_FLASH,
	BR_TOP_MOUNTED,
	BR_TOP_UP,
	BR_TOP_LOCAL,
	BR_TOP_NONE,
	BR_TOP_STATES,
};

/* How a state is shown: never by colour alone. */
struct br_top_look {
	const char *stage; /* the API's word */
	const char *label; /* "firmware loads" */
	const char *shape; /* one column of UTF-8 */
	char plain;	   /* the same without UTF-8 */
};
extern const struct br_top_look br_top_looks[BR_TOP_STATES];

struct br_top_board {
	char name[64], model[16], image[64], address[16], path[48];
	enum br_top_state state, stage; /* stage: without what else is known */
	uint64_t boot;
	int64_t stage_at;
	unsigned percent; /* of the file 'path' */
	bool waiting, flashing, wrong;
	char verdict[200]; /* when wrong */
	bool listed;	   /* by the load under way */
};

#define BR_TOP_RATES 1024

struct br_top_fleet {
	struct br_top_board *boards; /* by name */
	size_t n, cap;
	uint64_t rates[BR_TOP_RATES]; /* bytes per second, each second, oldest first */
	size_t n_rates;
	bool judged;	 /* verdicts are known: no board that is wrong means that none is */
	int64_t left_s; /* until all that boot are there; -1: not known */
	char interface[32], version[32], dhcp[16];
};

void br_top_fleet_done(struct br_top_fleet *f);
/* GET /v1/boards: those that are not in it are gone. 0, -EINVAL for what is no list of boards, -ENOMEM. */
int br_top_fleet_load(struct br_top_fleet *f, const json_t *boards);
/* A message of /v1/live. 0 (also for one that is not known), -ENOMEM. */
int br_top_fleet_message(struct br_top_fleet *f, const char *name, const json_t *data);
/* GET /v1/why: verdicts of all boards that are not fine. */
void br_top_fleet_why(struct br_top_fleet *f, const json_t *verdicts);
void br_top_fleet_count(const struct br_top_fleet *f, size_t counts[static BR_TOP_STATES]);
/* Boards on their way now. */
size_t br_top_fleet_booting(const struct br_top_fleet *f, int64_t now);
/* Whether a board has this in its name, model, image, address or state; case does not matter. "" : yes. */
bool br_top_board_fits(const struct br_top_board *b, const char *filter);
