/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network boot by HTTP (BOOT_ORDER 7, wire facts 3): boot.sig, boot.img, and on with the files within. A transfer's outcome
 * is put where a TFTP transfer's would be, so that the rest of the board need not know the difference.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"
#include "sim/board_private.h"

bool br_sim_board_by_http(enum br_sim_role role)
{
	return role == BR_SIM_ROLE_HTTP_SIG || role == BR_SIM_ROLE_HTTP_LOOK || role == BR_SIM_ROLE_HTTP_IMG;
}

void br_sim_board_forget_http(struct br_sim_board *b)
{
	br_sim_http_done(&b->http);
	br_fat_close(b->files);
	b->files = NULL;
	free(b->image.data);
	b->image = (struct br_sim_blob){ 0 };
	b->image_hash[0] = 0;
}

void br_sim_board_start_http(struct br_sim_board *b)
{
	const struct br_sim_request *q = &b->queue[0];
	const char *dir = b->config.http.path ? b->config.http.path : "net_install";
	char host[BR_IP_TEXT], path[2 * sizeof(b->http.path) + 16];
	uint32_t iss;

	/* a Pi 5 gets no further without one (systems facts) */
	if (!b->stack.router && !strcmp(b->config.model->platform, "bcm2712")) {
		br_sim_board_give_up(b, "no router (option 3) in the DHCP answer: a Pi 5 does not boot by HTTP without one");
		return;
	}
	br_random(&iss, sizeof(iss));
	snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", q->name);
	br_sim_http_start(&b->http, q->role == BR_SIM_ROLE_HTTP_LOOK, br_ip_format(host, b->server), path, b->port,
		b->config.http.port ? b->config.http.port : 80, iss, b->now_ns);
	b->port = (uint16_t)(b->port + 1 + BR_SIM_HTTP_RESUMES);
	b->phase = BR_SIM_IN_HTTP;
}

/* The outcome as if TFTP had brought it. */
static void conclude(struct br_sim_board *b)
{
	static const enum br_sim_tftp_state states[] = { [BR_SIM_HTTP_DONE] = BR_SIM_TFTP_DONE,
		[BR_SIM_HTTP_MISSING] = BR_SIM_TFTP_MISSING, [BR_SIM_HTTP_FAILED] = BR_SIM_TFTP_FAILED };
	struct br_sim_http *h = &b->http;
	struct br_sim_tftp *t = &b->tftp;

	*t = (struct br_sim_tftp){ .style = b->stage->tftp, .state = states[h->state], .start_ns = b->now_ns };
	t->tsize = h->length;
	br_strcpy(t->name, sizeof(t->name), h->path);
	br_strcpy(t->why, sizeof(t->why), h->why);
	if (h->state == BR_SIM_HTTP_DONE && h->head_only)
		t->state = BR_SIM_TFTP_PROBED;
	if (h->state == BR_SIM_HTTP_DONE && !h->head_only) {
		t->data = br_take(h->data);
		t->size = t->cap = h->length;
		t->crc = br_crc32c(0, t->data, t->size);
		memcpy(t->head, t->data, t->size < BR_SIM_HEAD ? t->size : BR_SIM_HEAD);
	}
	b->phase = BR_SIM_FETCHING;
}

bool br_sim_board_step_http(struct br_sim_board *b)
{
	uint8_t segment[BR_SIM_TCP_MAX];
	size_t n;

	while ((n = br_sim_http_poll(&b->http, b->now_ns, segment)))
		br_sim_stack_tcp(&b->stack, b->server, segment, n);
	if (b->http.state == BR_SIM_HTTP_RUNNING)
		return false;
	conclude(b);
	br_sim_http_done(&b->http);
	return true;
}

/* ---- files within ---- */

void br_sim_board_fetch_inside(struct br_sim_board *b)
{
	struct br_sim_tftp *t = &b->tftp;
	const struct br_fat_entry *e = br_fat_lookup(b->files, t->name);
	uint64_t at = 0;

	t->due = false; /* nothing goes over the wire */
	t->state = !e || e->is_dir ? BR_SIM_TFTP_MISSING : t->probe ? BR_SIM_TFTP_PROBED : BR_SIM_TFTP_DONE;
	t->tsize = e ? e->size : UINT64_MAX;
	if (t->state != BR_SIM_TFTP_DONE)
		return;
	t->data = malloc((size_t)e->size + 1);
	if (!t->data) {
		t->state = BR_SIM_TFTP_FAILED;
		br_strcpy(t->why, sizeof(t->why), "out of memory");
		return;
	}
	for (size_t i = 0; i < e->n_spans && at < e->size; i++) {
		size_t n = e->spans[i].len < e->size - at ? e->spans[i].len : (size_t)(e->size - at);

		memcpy(t->data + at, e->spans[i].data, n);
		at += n;
	}
	t->size = t->cap = e->size;
	t->crc = br_crc32c(0, t->data, t->size);
	memcpy(t->head, t->data, t->size < BR_SIM_HEAD ? t->size : BR_SIM_HEAD);
}
