/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process: a table of parts, started in order and stopped in reverse. Each part's start finds what can be
 * wrong with it and says so; nothing is answered before all of them are up.
 *
 * Who we are while starting: root only where a port is bound, an address added or a user's image file
 * read; for everything in the state directory the user that owns it (privileges.h).
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <uv.h>

#include "api/live.h"
#include "api/server.h"
#include "api/web.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/state.h"
#include "base/text.h"
#include "console/console.h"
#include "daemon/dhcpside.h"
#include "daemon/eventtext.h"
#include "daemon/glue.h"
#include "daemon/glue_logs.h"
#include "daemon/glue_metrics.h"
#include "daemon/glue_usb.h"
#include "daemon/hooks.h"
#include "daemon/live.h"
#include "daemon/network.h"
#include "daemon/pool.h"
#include "daemon/privileges.h"
#include "daemon/reserver.h"
#include "daemon/turns.h"
#include "fleet/event.h"
#include "fleet/reservation.h"
#include "http/server.h"
#include "plan/disksweep.h"
#include "power/power.h"
#include "tftp/io.h"
#include "uboot/checkdir.h"
#include "why/io.h"

#define TFTP_PORT 69
#define HTTP_PORT 80
#define NFS_PORT 2049
#define MOUNT_PORT 20048
#define PORTMAP_PORT 111

struct daemon {
	const struct br_config *config;
	char *state;
	struct br_identity id;
	struct br_fleet *fleet;
	struct br_store *store;
	char image[BR_IMAGE_NAME_MAX + 1]; /* default, "" : none */
	struct br_network net;
	struct br_disks *disks;
	struct br_shares *shares;
	struct br_persist *persist;
	struct br_boots *boots;
	struct br_flash *flash;
	struct br_power *power;
	struct br_reserver *reserver;
	struct br_glue glue;
	struct br_glue_logs *logs; /* NULL: off */
	struct br_dhcp_side *dhcp; /* NULL: off */
	struct br_glue_tftp tftp_glue;
	struct br_tftp_io *tftp;
	struct br_http *http;
	struct br_glue_nfs *nfs_glue;
	struct br_nfs_server *nfs;
	struct br_watch *watch;
	struct br_watch_io *watch_io;
	struct br_live *live;
	struct br_consoles *consoles;
	struct br_feed *feed;
	struct br_web_door *door; /* until the API takes it */
	struct br_api *api;
	struct br_hooks *hooks;
	struct br_glue_metrics counts;
	void *metrics;
	uv_loop_t loop;
	uv_poll_t watch_poll;
	uv_signal_t sigterm, sigint;
};

/* A connection per board and per follower of events, and a few files per disk: as many as we are allowed. */
static void raise_file_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur == lim.rlim_max)
		return;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		br_log_warning("cannot raise the limit of open files: %s", strerror(errno));
}

static int start_state(struct daemon *d, struct br_error *err)
{
	int r;

	raise_file_limit();
	umask(0077); /* the state holds host keys and boards' files */
	r = br_state_dir(d->config->state, &d->state, err);
	if (!r)
		r = br_identity_choose(d->config->user, d->state, &d->id, err);
	if (!r)
		r = br_identity_enter(&d->id, d->state, err);
	if (r < 0)
		free(br_take(d->state)); /* what has not started is not stopped */
	return r;
}

static void stop_state(struct daemon *d)
{
	free(d->state);
}

static int start_fleet(struct daemon *d, struct br_error *err)
{
	uint64_t age_ns = 0, n = 0;
	int r = br_fleet_open(d->state, true, &d->fleet, err);

	if (r < 0)
		return r;
	/* checked when they were set; "forever" leaves 0, which is no limit */
	(void)br_parse_duration(d->config->keep_events, &age_ns);
	(void)br_parse_u64(d->config->max_events, 0, UINT64_MAX, &n);
	br_event_retain(d->fleet, age_ns / BR_S, n);
	return 0;
}

static void stop_fleet(struct daemon *d)
{
	br_event_emit(d->fleet, 0, 0, BR_EV_DAEMON_STOP, NULL);
	br_fleet_close(d->fleet);
}

/* What followers of the API see; made before who tells it something. */
static int start_feed(struct daemon *d, struct br_error *err)
{
	return br_feed_new(d->fleet, br_event_text, &d->feed) < 0 ? br_error_set(err, ENOMEM, "out of memory") : 0;
}

static void stop_feed(struct daemon *d)
{
	br_feed_free(d->feed);
}

static int start_store(struct daemon *d, struct br_error *err)
{
	return br_store_open(d->state, &d->store, err);
}

static void stop_store(struct daemon *d)
{
	br_store_close(d->store);
}

/* An import can take minutes and must end at once, leaving nothing, when it is interrupted. */
static bool import_cancelled;

static void on_import_signal(int sig)
{
	import_cancelled = true;
}

static int import_image(struct daemon *d, const char *file, struct br_error *err)
{
	struct sigaction act = { .sa_handler = on_import_signal }, old_int, old_term;
	struct br_import_options opt = { .cancelled = &import_cancelled };
	struct br_image_info *info = calloc(1, sizeof(*info));
	int r;

	if (!info)
		return br_error_set(err, ENOMEM, "out of memory");
	sigaction(SIGINT, &act, &old_int);
	sigaction(SIGTERM, &act, &old_term);
	br_identity_leave(); /* the file may be readable by root only; the store hands what it makes to its owner */
	r = br_store_import(d->store, file, &opt, info, err);
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	if (r >= 0)
		snprintf(d->image, sizeof(d->image), "%s", info->name);
	if (!r) { /* 1: it was there already */
		br_event_emit(d->fleet, 0, 0, BR_EV_IMAGE_ADDED,
			json_pack("{s:s, s:s}", "image", info->name, "sha256", info->sha256));
	}
	free(info);
	return r < 0 ? r : br_identity_enter(&d->id, d->state, err);
}

/* The one that was set by the API, when neither command line nor file name one. It may be gone since: no reason not to start. */
static int last_image(struct daemon *d, struct br_image_info *info)
{
	char name[sizeof(d->image)];
	struct br_error err = BR_ERROR_NULL;

	if (br_setting_get(d->fleet, BR_SETTING_IMAGE, name, sizeof(name)) < 0)
		return 0;
	if (br_store_info(d->store, name, info, &err) < 0)
		br_log_warning("image %s, the default one since it was set, is not in the store any more", name);
	else
		snprintf(d->image, sizeof(d->image), "%s", info->name);
	return 0;
}

/* IMAGE is a name in the store, or a file that is brought into it. */
static int start_image(struct daemon *d, struct br_error *err)
{
	const char *image = d->config->image;
	br_cleanup(br_freep) struct br_image_info *info = calloc(1, sizeof(*info));
	int r;

	if (!info)
		return br_error_set(err, ENOMEM, "out of memory");
	if (!image)
		return last_image(d, info);
	if (strchr(image, '/') || !access(image, F_OK))
		return import_image(d, image, err);
	r = br_store_info(d->store, image, info, err);
	if (r == -ENOENT)
		return br_error_set(err, ENOENT,
			"image %s: there is neither a file nor a stored image of that name; see 'bramble image list'",
			image);
	if (!r)
		snprintf(d->image, sizeof(d->image), "%s", info->name);
	return r;
}

static int start_network(struct daemon *d, struct br_error *err)
{
	int r;

	br_identity_leave();
	r = br_network_open(d->config, &d->net, err);
	if (r >= 0)
		br_network_make_room(&d->net);
	return r < 0 ? r : br_identity_enter(&d->id, d->state, err);
}

static void stop_network(struct daemon *d)
{
	br_network_close(&d->net);
}

static int start_disks(struct daemon *d, struct br_error *err)
{
	int r = br_disks_sweep(d->state, err);
	struct br_error left = BR_ERROR_NULL;

	if (r > 0)
		br_log_info("removed %d copies of disks that a crash left behind", r);
	if (br_disks_sweep_shells(d->state, &left) < 0) /* only room on the disk */
		br_log_warning("what a killed 'bramble disk shell' left cannot be removed: %s", left.text);
	r = r < 0 ? r : br_disks_new(d->state, &d->disks, err);
	if (!r && !strcmp(d->config->durability, "relaxed"))
		br_disks_relax(d->disks);
	return r;
}

static void stop_disks(struct daemon *d)
{
	br_disks_free(d->disks);
}

/* What bramble.conf says; directories are looked at when a board asks, as the user we are then. */
static int start_shares(struct daemon *d, struct br_error *err)
{
	int r = br_shares_new(d->fleet, &d->shares, err);

	if (!r)
		r = br_shares_configure(d->shares, d->config->shares, d->config->n_shares, err);
	if (r < 0)
		br_shares_free(d->shares);
	return r;
}

static void stop_shares(struct daemon *d)
{
	br_shares_free(d->shares);
}

static int start_persist(struct daemon *d, struct br_error *err)
{
	return br_persist_new(d->state, d->store, &d->persist, err);
}

static void stop_persist(struct daemon *d)
{
	br_persist_free(d->persist);
}

static int start_boots(struct daemon *d, struct br_error *err)
{
	struct br_boots_options opt = {
		.fleet = d->fleet,
		.store = d->store,
		.server = {
			.ip = d->net.ip,
			.nfs_port = NFS_PORT,
			.mount_port = MOUNT_PORT,
			.log_netconsole = strstr(d->config->board_logs, "netconsole") != NULL,
			.log_syslog = strstr(d->config->board_logs, "syslog") != NULL,
		},
		.default_disk = d->config->disk,
		.overrides = d->config->overrides,
		.root_files = d->config->root_files,
		.keys = d->config->authorized_keys,
	};
	br_cleanup(br_freep) char *scripts = br_uboot_check_dir(d->config->overrides);
	br_cleanup(br_freep) char *signing_keys = br_path_join(d->state, "keys");
	int r;

	opt.signing_keys = signing_keys;
	(void)br_persist_parse(d->config->persist, &opt.default_persist); /* it was checked */
	r = br_boots_new(&opt, &d->boots, err);

	if (scripts)
		br_log_warning("scripts that U-Boot's shell would not take: %s", scripts);
	if (!r && d->image[0])
		r = br_boots_set_default_image(d->boots, d->image, err);
	if (r < 0) {
		br_boots_free(d->boots);
		return r;
	}
	d->glue.fleet = d->fleet;
	d->glue.boots = d->boots;
	d->glue.disks = d->disks;
	d->glue.shares = d->shares;
	d->glue.persist = d->persist;
	d->glue.server_ip = d->net.ip;
	d->glue.prefix = d->net.prefix;
	d->glue.adopt = !strcmp(d->config->adopt, "yes");
	d->glue.dhcp = &d->net.dhcp_options;
	d->glue.first_ip = d->net.first_ip;
	d->glue.last_ip = d->net.last_ip;
	d->glue.lease_s = d->net.lease_s;
	d->glue.no_give = d->net.no_give;
	atomic_store(&d->glue.dhcp_mode, BR_GLUE_DHCP_OFF);
	d->glue.notes = br_glue_notes_new();
	d->glue.pool = br_pool_new();
	d->glue.turns = br_turns_new(d->config, d->net.netif.name);
	if (!d->glue.notes || !d->glue.pool || !d->glue.turns) {
		br_turns_free(d->glue.turns);
		br_glue_notes_free(d->glue.notes);
		br_pool_free(d->glue.pool);
		br_boots_free(d->boots);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	snprintf(d->glue.interface, sizeof(d->glue.interface), "%s", d->net.netif.name);
	return 0;
}

static void stop_boots(struct daemon *d)
{
	br_turns_free(d->glue.turns);
	br_glue_notes_free(d->glue.notes);
	br_pool_free(d->glue.pool);
	br_boots_free(d->boots);
}

static int start_flash(struct daemon *d, struct br_error *err)
{
	int r = br_flash_new(d->fleet, d->store, &d->flash, err);

	d->glue.flash = d->flash;
	return r;
}

static void stop_flash(struct daemon *d)
{
	d->glue.flash = NULL;
	br_flash_free(d->flash);
}

static int start_reserver(struct daemon *d, struct br_error *err)
{
	return br_reserver_start(d->fleet, d->boots, &d->reserver, err);
}

static void stop_reserver(struct daemon *d)
{
	br_reserver_stop(d->reserver);
}

static int start_live(struct daemon *d, struct br_error *err)
{
	return br_live_start(&d->loop, d->fleet, &d->live, err);
}

static void stop_live(struct daemon *d)
{
	br_live_stop(d->live);
	uv_run(&d->loop, UV_RUN_NOWAIT);
}

static int start_dhcp(struct daemon *d, struct br_error *err)
{
	br_identity_leave(); /* from here to the drop: ports below 1024 */
	return d->net.dhcp ? br_dhcp_side_start(&d->loop, &d->net, &d->glue, d->watch_io, &d->dhcp, err) : 0;
}

static void stop_dhcp(struct daemon *d)
{
	br_dhcp_side_stop(d->dhcp);
}

static enum br_tftp_frames tftp_frames(const char *setting)
{
	if (!strcmp(setting, "on"))
		return BR_TFTP_FRAMES_ON;
	return strcmp(setting, "off") ? BR_TFTP_FRAMES_AUTO : BR_TFTP_FRAMES_OFF;
}

/* To the terminal, and to those who follow by the API. */
static void tell_progress(void *ctx, int64_t board_id, const char *path, uint64_t bytes, uint64_t size)
{
	struct daemon *d = ctx;

	br_live_progress(d->live, board_id, path, bytes, size);
	br_feed_progress(d->feed, board_id, path, bytes, size);
}

static int start_tftp(struct daemon *d, struct br_error *err)
{
	struct br_tftp_io_options opt = {
		.ip = d->net.ip,
		.port = TFTP_PORT,
		.frames = tftp_frames(d->config->tftp_fast_path),
		.ops = &br_glue_tftp_ops,
		.ctx = &d->tftp_glue,
	};

	d->tftp_glue = (struct br_glue_tftp){
		.glue = &d->glue,
		.progress = tell_progress,
		.progress_ctx = d,
	};
	return br_tftp_io_start(&opt, &d->tftp, err);
}

static void stop_tftp(struct daemon *d)
{
	br_tftp_io_stop(d->tftp);
}

static int start_http(struct daemon *d, struct br_error *err)
{
	const char *given = d->config->http_port;
	struct br_http_options opt = {
		.ip = d->net.ip,
		.port = HTTP_PORT,
		.ops = &br_glue_http_ops,
		.ctx = &d->tftp_glue,
	};
	uint64_t port;
	int r;

	if (given && !br_parse_u64(given, 0, 65535, &port))
		opt.port = (uint16_t)port;
	if (!opt.port)
		return 0;
	r = br_http_start(&opt, &d->http, err);
	if (r == -EADDRINUSE && !given) { /* nobody asked for it: a machine with a web server boots boards, too */
		br_log_warning("%s. Until then boards cannot boot by HTTP", err->text);
		*err = BR_ERROR_NULL;
		return 0;
	}
	if (!r)
		d->glue.http_port = br_http_port(d->http);
	return r;
}

static void stop_http(struct daemon *d)
{
	br_http_stop(d->http);
}

/* The key of file handles lives as long as the state: boards keep their handles over a restart of ours. */
static int read_handle_key(struct daemon *d, uint8_t key[static 16], struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(d->state, "nfs.key");
	br_cleanup(br_freep) char *data = NULL;
	size_t len;
	int r;

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_file_read(path, 64, &data, &len, err);
	if (!r && len == 16) {
		memcpy(key, data, 16);
		return 0;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	br_random(key, 16);
	r = br_file_write(path, key, 16, 0600, err);
	return r < 0 ? r : br_state_own(d->state, path, err);
}

static int start_nfs(struct daemon *d, struct br_error *err)
{
	struct br_nfs_options opt = {
		.ip = d->net.ip,
		.nfs_port = NFS_PORT,
		.mount_port = MOUNT_PORT,
		.portmap_port = PORTMAP_PORT,
		.ops = &br_glue_nfs_ops,
	};
	int r = read_handle_key(d, opt.handle_key, err);

	if (!r)
		r = br_glue_nfs_new(&d->glue, &d->nfs_glue, err);
	if (r < 0)
		return r;
	opt.ctx = d->nfs_glue;
	r = br_nfs_server_start(&opt, &d->nfs, err);
	if (r < 0)
		br_glue_nfs_free(d->nfs_glue);
	return r;
}

static void stop_nfs(struct daemon *d)
{
	br_nfs_server_stop(d->nfs);
	br_glue_nfs_free(d->nfs_glue);
}

static void on_watch(uv_poll_t *poll, int status, int events)
{
	struct daemon *d = poll->data;

	/* an interface that is down says so to the DHCP part, too */
	(void)br_watch_io_dispatch(d->watch_io, br_now_ns());
}

static int start_watch(struct daemon *d, struct br_error *err)
{
	const struct br_watch_options opt = { .server_ip = d->net.ip };
	int r = br_watch_new(&opt, &d->watch);

	if (r < 0)
		return br_error_set(err, -r, "watch: %s", strerror(-r));
	br_identity_leave();
	r = br_watch_io_open(d->net.netif.name, d->watch, &d->watch_io, err);
	if (r < 0) {
		br_watch_free(d->watch);
		return r;
	}
	uv_poll_init(&d->loop, &d->watch_poll, br_watch_io_fd(d->watch_io));
	d->watch_poll.data = d;
	return br_identity_enter(&d->id, d->state, err);
}

static void stop_watch(struct daemon *d)
{
	uv_close((uv_handle_t *)&d->watch_poll, NULL);
	uv_run(&d->loop, UV_RUN_NOWAIT);
	br_watch_io_close(d->watch_io);
	br_watch_free(d->watch);
}

/* The certificate's key may be root's only, and so may the port. */
static int start_door(struct daemon *d, struct br_error *err)
{
	const struct br_config *c = d->config;
	const struct br_web_options opt = {
		.where = c->web,
		.cert = c->web_cert,
		.key = c->web_key,
		.names = c->web_names,
		.read_by_token = !strcmp(c->web_read, "token"),
		.ip = d->net.ip,
		.prefix = d->net.prefix,
	};
	struct br_error taken = BR_ERROR_NULL;
	int r = br_web_door_open(&opt, &d->door, &taken);

	if (r < 0)
		*err = taken;
	else if (taken.code) /* nobody asked for that port */
		br_log_warning("%s. Until then there is no web page", taken.text);
	if (d->door)
		br_glue_page(&d->glue, br_web_door_tls(d->door), br_web_door_port(d->door));
	return r;
}

static void stop_door(struct daemon *d)
{
	br_web_door_close(d->door);
}

static int start_log_ports(struct daemon *d, struct br_error *err)
{
	return br_glue_logs_open(&d->glue, d->config, &d->logs, err);
}

static void stop_logs(struct daemon *d)
{
	br_glue_logs_stop(d->logs);
}

static int start_drop(struct daemon *d, struct br_error *err)
{
	return br_privileges_drop(&d->id, err);
}

static const char *dhcp_mode(void *ctx)
{
	return br_glue_dhcp_mode(ctx);
}

static json_t *turns_json(void *ctx)
{
	struct br_glue *glue = ctx;
	struct br_admission_status st;

	br_turns_status(glue->turns, &st);
	return json_pack("{s:i, s:i, s:o, s:I}", "running", (int)st.running, "waiting", (int)st.waiting, "at_once",
		st.at_once == BR_ADMISSION_UNLIMITED ? json_null() : json_integer(st.at_once), "bytes_per_s",
		(json_int_t)st.rate);
}

static bool waits(void *ctx, int64_t board_id, uint32_t *ret_before)
{
	struct br_glue *glue = ctx;

	return br_turns_waits(glue->turns, board_id, ret_before);
}

static uint64_t capture_dropped(void *ctx)
{
	return br_watch_io_dropped(ctx);
}

/* Nobody's idle board: it is reserved, or its card is being written. */
static bool reserved(void *ctx, int64_t board_id)
{
	struct daemon *d = ctx;
	struct br_flash_order order;

	if (br_reservation_of(br_reserver_reservations(d->reserver), board_id, NULL, 0))
		return true;
	return !br_flash_order_last(d->fleet, board_id, &order) && br_flash_open_state(order.state);
}

/* As the user we stay: devices' files (gpio, USB) are opened by what it may. */
static int start_power(struct daemon *d, struct br_error *err)
{
	const struct br_power_options opt = {
		.fleet = d->fleet,
		.conf = &d->config->power,
		.command = d->config->power_command,
		.state = d->state,
		.reserved = reserved,
		.ctx = d,
	};

	return br_power_new(&opt, &d->power, err);
}

static void stop_power(struct daemon *d)
{
	br_power_free(d->power);
}

/* What was ordered under a reservation ends with it. */
static void turned(void *ctx, int64_t board_id, int64_t number)
{
	struct daemon *d = ctx;

	br_flash_reserved(d->flash, board_id, number);
	br_power_reserved(d->power, board_id, number);
}

static int64_t reservation_of(void *ctx, int64_t board_id)
{
	return br_reservation_of(ctx, board_id, NULL, 0);
}

static int start_orders(struct daemon *d, struct br_error *err)
{
	struct br_reservations *m = br_reserver_reservations(d->reserver);

	br_reservations_follow(m, turned, d);
	br_flash_check_reserved(d->flash, reservation_of, m);
	return 0;
}

static void stop_orders(struct daemon *d)
{
	br_reservations_follow(br_reserver_reservations(d->reserver), NULL, NULL);
}

/* A line of a serial console. */
static void console_line(void *ctx, int64_t board_id, const char *text, size_t n)
{
	br_logs_put(ctx, &(struct br_logs_line){
		.board_id = board_id,
		.source = BR_LOGS_SERIAL,
		.severity = BR_LOGS_NO_SEVERITY,
		.text = text,
		.n_text = n,
	});
}

static void console_heard(void *ctx, int64_t board_id, uint32_t ip, const void *data, size_t n)
{
	br_console_heard(ctx, board_id, ip, data, n);
}

static int start_logs(struct daemon *d, struct br_error *err)
{
	return br_glue_logs_start(d->logs, d->state, err);
}

static int start_consoles(struct daemon *d, struct br_error *err)
{
	struct br_logs *store = br_glue_logs_store(d->logs);
	const struct br_console_options opt = { .fleet = d->fleet, .line = store ? console_line : NULL, .ctx = store };
	int r = br_consoles_start(&opt, &d->consoles, err);

	if (r >= 0)
		br_glue_logs_heard(d->logs, console_heard, d->consoles);
	return r;
}

static void stop_consoles(struct daemon *d)
{
	br_glue_logs_heard(d->logs, NULL, NULL);
	br_consoles_stop(d->consoles);
}

static int start_metrics(struct daemon *d, struct br_error *err)
{
	d->counts = (struct br_glue_metrics){ br_dhcp_side_io(d->dhcp), d->tftp };
	d->metrics = br_metrics_add(br_glue_metrics_write, &d->counts);
	return d->metrics ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

static void stop_metrics(struct daemon *d)
{
	br_metrics_remove(d->metrics);
}

/* Once root is given up: hooks run as the user we are then. */
static int start_hooks(struct daemon *d, struct br_error *err)
{
	return br_hooks_start(d->fleet, d->config->hooks, d->config->n_hooks, &d->hooks, err);
}

static void stop_hooks(struct daemon *d)
{
	br_hooks_stop(d->hooks);
}

static int start_api(struct daemon *d, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_api_socket_path(d->state);
	char ip[BR_IP_TEXT];
	struct br_api_options opt = {
		.fleet = d->fleet,
		.boots = d->boots,
		.disks = d->disks,
		.reservations = br_reserver_reservations(d->reserver),
		.shares = d->shares,
		.persist = d->persist,
		.consoles = d->consoles,
		.flash = d->flash,
		.power = d->power,
		.usb = &br_glue_usb_ops,
		.usb_ctx = &d->glue,
		.store = d->store,
		.watch = d->watch,
		.logs = br_glue_logs_store(d->logs),
		.receiver = br_glue_logs_receiver(d->logs),
		.event_text = br_event_text,
		.socket_path = path,
		.feed = d->feed,
		.door = d->door,
		.status = {
			.interface = d->net.netif.name,
			.ip = d->net.ip,
			.prefix = d->net.prefix,
			.dhcp = d->config->dhcp,
			.dhcp_mode = dhcp_mode,
			.dhcp_mode_ctx = &d->glue,
			.turns = turns_json,
			.waits = waits,
			.turns_ctx = &d->glue,
			.capture_dropped = capture_dropped,
			.capture_ctx = d->watch_io,
			.first = d->net.dhcp ? d->net.first_ip : 0,
			.last = d->net.dhcp ? d->net.last_ip : 0,
		},
	};

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	if (d->door)
		br_log_info("web page and API on %s://%s:%u/", br_web_door_tls(d->door) ? "https" : "http", br_ip_format(ip, d->net.ip),
			br_web_door_port(d->door));
	d->door = NULL;
	return br_api_start(&opt, &d->api, err);
}

static void stop_api(struct daemon *d)
{
	br_glue_logs_stopping(d->logs);
	br_api_stop(d->api);
}

static const struct part {
	int (*start)(struct daemon *d, struct br_error *err);
	void (*stop)(struct daemon *d); /* NULL: nothing to undo */
} parts[] = {
	{ start_state, stop_state },
	{ start_fleet, stop_fleet },
	{ start_feed, stop_feed },
	{ start_store, stop_store },
	{ start_network, stop_network }, /* before the image: an import takes long, a wrong name shows at once */
	{ start_image, NULL },
	{ start_disks, stop_disks },
	{ start_shares, stop_shares },
	{ start_persist, stop_persist },
	{ start_boots, stop_boots },
	{ start_flash, stop_flash },
	{ start_reserver, stop_reserver },
	{ start_live, stop_live },
	{ start_watch, stop_watch },
	{ start_dhcp, stop_dhcp },
	{ start_tftp, stop_tftp },
	{ start_http, stop_http },
	{ start_nfs, stop_nfs },
	{ start_door, stop_door },
	{ start_log_ports, stop_logs },
	{ start_drop, NULL },
	{ start_power, stop_power },
	{ start_orders, stop_orders },
	{ start_logs, NULL }, /* its thread makes files: as the user we are from now on */
	{ start_consoles, stop_consoles },
	{ start_metrics, stop_metrics },
	{ start_hooks, stop_hooks },
	{ start_api, stop_api },
};

static void on_signal(uv_signal_t *sig, int signum)
{
	uv_stop(sig->loop);
}

static void say_ready(struct daemon *d)
{
	char ip[BR_IP_TEXT], first[BR_IP_TEXT], last[BR_IP_TEXT], address[32];

	snprintf(address, sizeof(address), "%s/%u", br_ip_format(ip, d->net.ip), d->net.prefix);
	br_event_emit(d->fleet, 0, 0, BR_EV_DAEMON_START,
		json_pack("{s:s, s:s, s:s, s:s}", "version", BRAMBLE_VERSION, "interface", d->net.netif.name, "address",
			address, "dhcp", d->config->dhcp));
	if (!strcmp(d->config->dhcp, "full"))
		br_log_info("DHCP gives %s to %s", br_ip_format(first, d->net.first_ip),
			br_ip_format(last, d->net.last_ip));
	else if (!strcmp(d->config->dhcp, "proxy"))
		br_log_info("DHCP is proxy: another server gives the addresses, boards are told where to boot");
	else if (d->net.dhcp)
		br_log_info("DHCP listens for another server on %s before it answers", d->net.netif.name);
	else if (!strcmp(d->config->dhcp, "off"))
		br_log_info("DHCP is off: the server that gives addresses here must name us as TFTP server (option 66 = "
			"%s)", ip);
	if (!d->image[0])
		br_log_info("no default image: only boards that have an image of their own will boot");
	else
		br_log_info("serving %s (%s disks); waiting for boards", d->image, d->config->disk);
	sd_notify(0, "READY=1");
}

/* The control loop, from ready to the signal that ends it. */
static void run(struct daemon *d)
{
	uv_signal_init(&d->loop, &d->sigterm);
	uv_signal_init(&d->loop, &d->sigint);
	uv_signal_start(&d->sigterm, on_signal, SIGTERM);
	uv_signal_start(&d->sigint, on_signal, SIGINT);
	br_dhcp_side_run(d->dhcp);
	uv_poll_start(&d->watch_poll, UV_READABLE, on_watch);
	say_ready(d);
	uv_run(&d->loop, UV_RUN_DEFAULT);
	sd_notify(0, "STOPPING=1");
	uv_close((uv_handle_t *)&d->sigterm, NULL);
	uv_close((uv_handle_t *)&d->sigint, NULL);
	uv_run(&d->loop, UV_RUN_NOWAIT);
}

int br_daemon_run(const struct br_config *config, struct br_error *err)
{
	struct daemon d = { .config = config };
	size_t started = 0;
	int r = 0;

	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&d.loop);
	while (!r && started < BR_ARRAY_SIZE(parts)) {
		r = parts[started].start(&d, err);
		if (!r)
			started++;
	}
	if (!r)
		run(&d);
	while (started--)
		if (parts[started].stop)
			parts[started].stop(&d);
	uv_run(&d.loop, UV_RUN_NOWAIT);
	uv_loop_close(&d.loop);
	return r;
}
