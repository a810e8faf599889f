/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual board behind QEMU's usb-redir: its comings and goings as plug and unplug on one port. */
#include "sim/usbport.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "sim/usbredir.h"

struct br_sim_usb_port {
	struct br_sim_rom_config config;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int listen_fd;
	struct br_sim_usb *usb; /* NULL: QEMU is not there */
	struct br_sim_rom *board;
	unsigned plugged; /* the board's number of attachments that QEMU knows of; 0: none */
	uint64_t now_ns;
};

/* ---- what QEMU's side wants ---- */

static int on_control(void *ctx, uint8_t type, uint8_t request, uint16_t value, uint16_t index, uint8_t *data, size_t len)
{
	struct br_sim_usb_port *p = ctx;

	return br_sim_rom_control(p->board, p->now_ns, type, request, value, index, data, len);
}

static int on_bulk_out(void *ctx, uint8_t ep, const uint8_t *data, size_t len)
{
	struct br_sim_usb_port *p = ctx;

	return br_sim_rom_bulk_out(p->board, p->now_ns, ep, data, len);
}

static void on_bulk_in(void *ctx, uint64_t id, uint8_t ep, size_t max)
{
	struct br_sim_usb_port *p = ctx;

	br_sim_usb_bulk_in(p->usb, id, ep, BR_SIM_USB_STALL, NULL, 0); /* nobody uses it (facts c.1) */
}

static void on_cancel(void *ctx, uint64_t id)
{
	/* whatever it was has been answered */
}

static void on_nothing(void *ctx)
{
}

static void on_interrupt(void *ctx, uint8_t ep)
{
}

static int on_string(void *ctx, uint8_t index, uint8_t out[static 255])
{
	struct br_sim_usb_port *p = ctx;

	return br_sim_rom_string(p->board, index, out);
}

static int on_clear_halt(void *ctx, uint8_t ep)
{
	struct br_sim_usb_port *p = ctx;

	return br_sim_rom_clear_halt(p->board, p->now_ns, ep);
}

static void on_control_cancel(void *ctx)
{
	struct br_sim_usb_port *p = ctx;

	br_sim_rom_cancelled(p->board, p->now_ns);
}

static bool on_absent(void *ctx)
{
	const struct br_sim_usb_port *p = ctx;

	return !p->plugged;
}

static const struct br_sim_usb_ops ops = {
	.control = on_control, .bulk_out = on_bulk_out, .bulk_in = on_bulk_in, .bulk_cancel = on_cancel,
	.interrupt_start = on_interrupt, .bus_reset = on_nothing, .string = on_string, .clear_halt = on_clear_halt,
	.control_cancel = on_control_cancel, .absent = on_absent,
};

/* ---- the port ---- */

int br_sim_usb_port_open(const char *path, const struct br_sim_rom_config *config, struct br_sim_usb_port **ret,
	struct br_error *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct br_sim_usb_port *p = calloc(1, sizeof(*p));
	int r = 0;

	if (!p)
		return br_error_set(err, ENOMEM, "out of memory");
	p->config = *config;
	p->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->listen_fd < 0)
		r = br_error_set(err, errno, "%s: no socket: %m", path);
	else if (br_strcpy(p->path, sizeof(p->path), path) < 0)
		r = br_error_set(err, ENAMETOOLONG, "%s: a socket's name has at most %zu characters", path,
			sizeof(p->path) - 1);
	if (!r) {
		memcpy(a.sun_path, p->path, sizeof(a.sun_path));
		unlink(p->path);
		if (bind(p->listen_fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(p->listen_fd, 1) < 0) {
			r = br_error_set(err, errno, "%s: cannot listen: %m", path);
			p->path[0] = 0; /* not ours to remove */
		}
	}
	if (r < 0) {
		br_sim_usb_port_close(p);
		return r;
	}
	*ret = p;
	return 0;
}

void br_sim_usb_port_close(struct br_sim_usb_port *p)
{
	if (!p)
		return;
	br_sim_usb_free(p->usb);
	br_sim_rom_free(p->board);
	if (p->path[0])
		unlink(p->path);
	if (p->listen_fd >= 0)
		close(p->listen_fd);
	free(p);
}

int br_sim_usb_port_fd(const struct br_sim_usb_port *p)
{
	return p->usb ? br_sim_usb_fd(p->usb) : p->listen_fd;
}

short br_sim_usb_port_events(const struct br_sim_usb_port *p)
{
	return p->usb ? br_sim_usb_events(p->usb) : POLLIN;
}

uint64_t br_sim_usb_port_deadline(const struct br_sim_usb_port *p)
{
	return p->usb ? br_sim_rom_deadline(p->board) : UINT64_MAX;
}

const struct br_sim_rom *br_sim_usb_port_board(const struct br_sim_usb_port *p)
{
	return p->board;
}

bool br_sim_usb_port_connected(const struct br_sim_usb_port *p)
{
	return p->usb != NULL;
}

static int power_on(struct br_sim_usb_port *p, struct br_error *err)
{
	struct br_sim_usb_device device = { .ops = &ops };
	int fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return errno == EAGAIN || errno == ECONNABORTED || errno == EINTR ?
			0 : br_error_set(err, errno, "%s: %m", p->path);
	br_sim_rom_free(p->board);
	p->board = br_sim_rom_new(&p->config);
	p->plugged = 0;
	if (!p->board) {
		close(fd);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	device.device = br_sim_rom_device(p->board);
	device.config = br_sim_rom_configuration(p->board);
	p->usb = br_sim_usb_new(fd, &device, p);
	return p->usb ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

/* QEMU's port is as the board is: there, not there, there as another device. */
static void follow(struct br_sim_usb_port *p)
{
	unsigned attached = br_sim_rom_attached(p->board);

	if (attached == p->plugged)
		return;
	if (p->plugged)
		br_sim_usb_unplug(p->usb);
	p->plugged = attached;
	if (attached) {
		br_sim_usb_set_descriptors(p->usb, br_sim_rom_device(p->board), br_sim_rom_configuration(p->board));
		br_sim_usb_plug(p->usb);
	}
}

int br_sim_usb_port_ready(struct br_sim_usb_port *p, short revents, uint64_t now_ns, struct br_error *err)
{
	int r = 0;

	p->now_ns = now_ns;
	if (!p->usb)
		return revents ? power_on(p, err) : 0;
	br_sim_rom_step(p->board, now_ns);
	follow(p);
	if (revents)
		r = br_sim_usb_ready(p->usb, revents);
	if (r < 0) { /* QEMU is gone */
		br_sim_usb_free(p->usb);
		p->usb = NULL;
		return 0;
	}
	br_sim_usb_retry(p->usb);
	follow(p);
	return 0;
}
