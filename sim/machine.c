/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU, its network card and its console in the loop of the virtual boards. */
#include "sim/machine.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "sim/console.h"
#include "sim/lan9514.h"
#include "sim/qemu.h"

#define STAGE	  "boot"
#define WAIT_NS	  (10 * BR_S)  /* between two BR_SIM_WAITING */
#define REAP_NS	  (200 * BR_MS) /* how often QEMU's end is looked for */
#define BURST	  64

struct br_sim_machine {
	struct br_sim_machine_config config;
	struct br_sim_qemu qemu;
	struct br_sim_lan9514 *lan; /* NULL: frames go over qemu.net_fd as datagrams */
	struct br_sim_console console;
	bool told_output, told_seen, ended, net_gone;
	uint64_t started_ns, now_ns, wait_ns, reap_ns;
};

static void event(struct br_sim_machine *m, enum br_sim_what what, const char *text)
{
	const struct br_sim_board_config *b = br_sim_board_config(m->config.board);
	struct br_sim_event e = { .what = what, .stage = STAGE, .name = "", .text = text };

	e.t_ns = m->now_ns - br_sim_board_power_ns(m->config.board);
	b->event(b->ctx, &e);
}

static void on_guest_frame(void *ctx, const uint8_t *frame, size_t len)
{
	struct br_sim_machine *m = ctx;

	br_sim_link_send(m->config.link, frame, len); /* a full wire loses it */
}

int br_sim_machine_start(const struct br_sim_machine_config *c, struct br_sim_machine **ret, struct br_error *err)
{
	const struct br_sim_board_config *b = br_sim_board_config(c->board);
	struct br_sim_machine *m = calloc(1, sizeof(*m));
	struct br_sim_qemu_config q = {
		.model = b->model, .mac = b->mac, .hand = br_sim_board_handover(c->board),
		.memory_mib = c->memory_mib, .append = c->append, .card = c->card,
	};
	char text[80];
	int r;

	if (!m)
		return br_error_set(err, ENOMEM, "out of memory");
	m->config = *c;
	m->console.until = c->until;
	m->qemu = BR_SIM_QEMU_NULL;
	r = br_sim_qemu_start(&q, &m->qemu, err);
	if (!r && m->qemu.usb) {
		m->lan = br_sim_lan9514_new(br_take_fd(m->qemu.net_fd), b->mac, m->qemu.uboot, on_guest_frame, m);
		if (!m->lan)
			r = br_error_set(err, ENOMEM, "out of memory for the network card");
	}
	if (r < 0) {
		br_sim_machine_free(m);
		return r;
	}
	m->now_ns = m->started_ns = br_now_ns();
	m->wait_ns = m->now_ns + WAIT_NS;
	m->reap_ns = m->now_ns + REAP_NS;
	snprintf(text, sizeof(text), "QEMU %s takes over%s", br_sim_qemu_machine(b->model),
		c->terminal && c->terminal->raw ? " (Ctrl-A x leaves)" : "");
	event(m, BR_SIM_QEMU, text);
	*ret = m;
	return 0;
}

void br_sim_machine_free(struct br_sim_machine *m)
{
	if (!m)
		return;
	br_sim_qemu_stop(&m->qemu);
	br_sim_lan9514_free(m->lan);
	free(m);
}

static void on_console(void *ctx, short revents, uint64_t now_ns)
{
	struct br_sim_machine *m = ctx;
	char buf[4096];
	ssize_t n = read(m->qemu.console_fd, buf, sizeof(buf));

	m->now_ns = now_ns;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* QEMU closed it: its end is noticed in tick() */
		br_closep(&m->qemu.console_fd);
		m->qemu.console_fd = -1;
		m->reap_ns = now_ns;
		return;
	}
	if (!m->told_output) {
		m->told_output = true;
		event(m, BR_SIM_CONSOLE, "first output on the console");
	}
	if (m->config.terminal)
		br_sim_terminal_write(m->config.terminal, buf, (size_t)n);
	br_sim_console_add(&m->console, buf, (size_t)n);
	if (m->console.seen && !m->told_seen) {
		m->told_seen = true;
		event(m, BR_SIM_SEEN, m->console.match);
	}
}

static void on_typed(void *ctx, short revents, uint64_t now_ns)
{
	struct br_sim_machine *m = ctx;
	char buf[512];
	size_t n = br_sim_terminal_read(m->config.terminal, buf, sizeof(buf));

	br_sim_qemu_type(&m->qemu, buf, n);
}

static void on_room(void *ctx, short revents, uint64_t now_ns)
{
	struct br_sim_machine *m = ctx;

	br_sim_terminal_flush(m->config.terminal);
}

static void on_client(void *ctx, short revents, uint64_t now_ns)
{
	struct br_sim_machine *m = ctx;

	br_sim_terminal_accept(m->config.terminal);
}

static void on_net(void *ctx, short revents, uint64_t now_ns)
{
	struct br_sim_machine *m = ctx;
	uint8_t buf[BR_SIM_FRAME_MAX];

	m->now_ns = now_ns;
	if (m->lan) {
		m->net_gone = br_sim_lan9514_ready(m->lan, revents, now_ns) < 0;
		return;
	}
	for (int i = 0; i < BURST; i++) {
		ssize_t n = recv(m->qemu.net_fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			m->net_gone = true;
		if (n <= 0)
			return;
		on_guest_frame(m, buf, (size_t)n);
	}
}

void br_sim_machine_frame(void *ctx, uint64_t now_ns, const uint8_t *frame, size_t len, bool unsummed)
{
	struct br_sim_machine *m = ctx;

	if (m->net_gone)
		return;
	if (m->lan)
		br_sim_lan9514_frame(m->lan, frame, len);
	else
		send(m->qemu.net_fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL); /* a full card drops it */
}

size_t br_sim_machine_watches(struct br_sim_machine *m, struct br_sim_watch out[static BR_SIM_MACHINE_WATCHES])
{
	struct br_sim_terminal *t = m->config.terminal;
	size_t n = 0;

	if (m->qemu.console_fd >= 0)
		out[n++] = (struct br_sim_watch){ m->qemu.console_fd, POLLIN, on_console, m };
	if (!m->net_gone && m->lan)
		out[n++] = (struct br_sim_watch){ br_sim_lan9514_fd(m->lan), br_sim_lan9514_events(m->lan), on_net, m };
	else if (!m->net_gone)
		out[n++] = (struct br_sim_watch){ m->qemu.net_fd, POLLIN, on_net, m };
	if (t && t->in_fd >= 0)
		out[n++] = (struct br_sim_watch){ t->in_fd, POLLIN, on_typed, m };
	if (t && t->out_fd >= 0 && br_sim_terminal_waits(t))
		out[n++] = (struct br_sim_watch){ t->out_fd, POLLOUT, on_room, m };
	if (t && t->listen_fd >= 0)
		out[n++] = (struct br_sim_watch){ t->listen_fd, POLLIN, on_client, m };
	return n;
}

uint64_t br_sim_machine_deadline(const struct br_sim_machine *m)
{
	uint64_t t = m->lan && !m->net_gone ? br_sim_lan9514_deadline(m->lan) : UINT64_MAX;

	if (!m->ended && m->reap_ns < t)
		t = m->reap_ns;
	return t;
}

static void tell_end(struct br_sim_machine *m, int status)
{
	br_cleanup(br_freep) char *words = br_sim_qemu_words(&m->qemu);
	char text[800];

	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "QEMU was ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		snprintf(text, sizeof(text), "QEMU failed with status %d: %s", WEXITSTATUS(status), words ? words : "");
	else
		snprintf(text, sizeof(text), "the board was switched off");
	event(m, BR_SIM_ENDED, text);
}

static void tell_waiting(struct br_sim_machine *m)
{
	char text[BR_SIM_CONSOLE_LINE + 40];
	const char *last = br_sim_console_last(&m->console);

	m->wait_ns = m->now_ns + WAIT_NS;
	snprintf(text, sizeof(text), "%u s in the kernel; console: %s",
		(unsigned)((m->now_ns - m->started_ns) / BR_S), *last ? last : "nothing yet");
	event(m, BR_SIM_WAITING, text);
}

void br_sim_machine_tick(struct br_sim_machine *m, uint64_t now_ns)
{
	int status;

	m->now_ns = now_ns;
	if (m->lan && !m->net_gone)
		br_sim_lan9514_tick(m->lan, now_ns);
	if (m->ended || now_ns < m->reap_ns)
		return;
	m->reap_ns = now_ns + REAP_NS;
	if (br_sim_qemu_ended(&m->qemu, &status)) {
		m->ended = m->net_gone = true;
		tell_end(m, status);
	} else if (!m->config.quiet && !m->console.seen && now_ns >= m->wait_ns) {
		tell_waiting(m);
	}
}

bool br_sim_machine_seen(const struct br_sim_machine *m)
{
	return m->console.seen;
}

bool br_sim_machine_ended(const struct br_sim_machine *m)
{
	return m->ended;
}

char *br_sim_machine_tail(const struct br_sim_machine *m)
{
	struct br_text t = BR_TEXT_NULL;
	const char *line;

	br_text_add(&t, "");
	for (size_t i = 0; (line = br_sim_console_line(&m->console, i)); i++) {
		br_text_add(&t, "  | ");
		br_text_add_vis(&t, line, strlen(line));
		br_text_add(&t, "\n");
	}
	return br_text_take(&t);
}
