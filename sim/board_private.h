/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside of a virtual board: for board.c (when) and requests.c (what). */
#include "sim/board.h"
#include "sim/http_client.h"
#include "store/fat.h"

enum br_sim_role {
	BR_SIM_ROLE_PLAIN,
	BR_SIM_ROLE_PREFIX,
	BR_SIM_ROLE_CONFIG,
	BR_SIM_ROLE_INCLUDE,
	BR_SIM_ROLE_START,
	BR_SIM_ROLE_KERNEL_PROBE,
	BR_SIM_ROLE_KERNEL,
	BR_SIM_ROLE_INITRAMFS,
	BR_SIM_ROLE_DTB,
	BR_SIM_ROLE_OVERLAY_MAP,
	BR_SIM_ROLE_CMDLINE,
	BR_SIM_ROLE_HTTP_SIG,
	BR_SIM_ROLE_HTTP_LOOK,
	BR_SIM_ROLE_HTTP_IMG,
	BR_SIM_ROLE_SIG, /* the same by TFTP */
	BR_SIM_ROLE_IMG,
	BR_SIM_N_ROLES,
};

struct br_sim_request {
	char name[BR_SIM_TFTP_NAME_MAX]; /* without the directory */
	uint8_t flags;			 /* BR_SIM_PROBE, MUST, ROOT, SLASH */
	enum br_sim_role role;
};

/* What a name was when it was fetched first: it must not change within one boot. */
struct br_sim_known {
	uint32_t name_crc, crc;
	uint64_t size;
	bool there;
};

#define BR_SIM_QUEUE 128
#define BR_SIM_KNOWN 256

struct br_sim_board {
	struct br_sim_board_config config;
	struct br_sim_counters counters;
	struct br_sim_stack stack;
	struct br_sim_dhcp dhcp;
	struct br_sim_tftp tftp; /* also holds the outcome of what came another way */
	struct br_sim_http http;
	char image_hash[65]; /* of boot.img, from boot.sig */
	struct br_sim_blob image;
	struct br_fat *files; /* of it; all that is asked for from then on */
	enum br_sim_phase phase;
	bool powered;
	uint64_t now_ns, power_ns, wake_ns;

	const struct br_sim_stage *stage;
	const struct br_sim_step *step; /* the next one */
	unsigned n_stage, n_then, n_arp, n_wrong;
	bool kernel_told;
	uint16_t port;
	uint32_t server;
	char prefix[16]; /* "5b000001/" or "" */

	struct br_sim_request queue[BR_SIM_QUEUE];
	size_t n_queue;

	struct br_pi_config settings;
	char text_names[1 + BR_PI_CONFIG_INCLUDES][BR_PI_CONFIG_NAME]; /* config.txt, then includes */
	struct br_sim_blob texts[1 + BR_PI_CONFIG_INCLUDES];
	size_t n_texts;
	struct br_sim_blob overlay_map;
	char kernel[BR_PI_CONFIG_NAME]; /* the one chosen; "" until then */
	bool is_64bit;
	bool dtb_found;

	struct br_sim_known known[BR_SIM_KNOWN];
	size_t n_known;
	struct br_sim_handover hand;
};

/* Puts the requests of a step into the queue; none when the step does not apply. */
void br_sim_board_expand(struct br_sim_board *b, const struct br_sim_step *s);
/* The transfer of queue[0] is final: draws the conclusions and takes it off the queue. */
void br_sim_board_fetched(struct br_sim_board *b);
void br_sim_board_drop_request(struct br_sim_board *b);
bool br_sim_board_keeps(const struct br_sim_board *b, enum br_sim_role role);
/* All steps are done: composes the command line and says so. */
void br_sim_board_kernel_ready(struct br_sim_board *b);

/* As give_up(), where the firmware would never try the network again by itself. */
void br_sim_board_leave(struct br_sim_board *b, const char *why);

/* board_http.c */
bool br_sim_board_by_http(enum br_sim_role role);
void br_sim_board_start_http(struct br_sim_board *b);
bool br_sim_board_step_http(struct br_sim_board *b);
/* The request queue[0] out of boot.img: the outcome is at once in b->tftp. */
void br_sim_board_fetch_inside(struct br_sim_board *b);
void br_sim_board_forget_http(struct br_sim_board *b);

/* board_signed.c */
void br_sim_board_take_sig(struct br_sim_board *b, const struct br_sim_request *q, bool found);
void br_sim_board_take_img(struct br_sim_board *b, const struct br_sim_request *q, bool found);

void br_sim_board_event(struct br_sim_board *b, struct br_sim_event e);
/*
 * This stage cannot go on. Afterwards the board is BR_SIM_FAILED, or BR_SIM_OFF with nothing left of this boot
 * when its firmware starts over.
 */
__attribute__((format(printf, 2, 3))) void br_sim_board_give_up(struct br_sim_board *b, const char *fmt, ...);
