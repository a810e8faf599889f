/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boards on USB. The process that has them (bramble usb) tells who they are and what happened; the same plan as over the
 * network answers. Bodies are of a local client, what is in them comes from boards: hostile.
 */
#include "daemon/glue_usb.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/boardjson.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/glue_file.h"
#include "fleet/event.h"
#include "fleet/fact.h"
#include "pi/identity.h"

/* Who a body is about. */
struct subject {
	const char *path, *chip; /* never NULL */
	struct br_board board;	 /* id 0: not known */
	uint64_t boot;
};

/* A text of an object, NULL when there is none. */
static const char *text_of(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

static uint64_t number_of(const json_t *obj, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(obj, key));

	return n > 0 ? (uint64_t)n : 0;
}

/* What a device descriptor and the metadata have for serials. */
static bool serial_of(const char *s, struct br_sighting *ret)
{
	uint64_t serial;

	if (!s || br_board_serial_parse(s, &serial) < 0 || !serial)
		return false;
	ret->serial = serial;
	ret->serial_known = true;
	return true;
}

static uint64_t boot_of(struct br_glue *glue, const struct br_board *board)
{
	struct br_boot_status st;

	return board->id && !br_boots_status(glue->boots, board->id, &st) ? st.boot : 0;
}

/* By the name that somebody bound to the port, else by serial; -ENOENT with words. */
static int find_board(struct br_glue *glue, const json_t *body, struct br_board *ret, struct br_error *err)
{
	const char *name = text_of(body, "board"), *serial = text_of(body, "serial"), *path = text_of(body, "path");
	struct br_sighting s = { 0 };
	char vis[100];
	int r;

	if (name) {
		r = br_board_by_name(glue->fleet, name, ret);
		return r < 0 ? br_error_set(err, -r, "no board is named '%s'; 'bramble board list' shows them",
				       br_vis(vis, sizeof(vis), name, strlen(name))) : 0;
	}
	if (!serial_of(serial, &s))
		return br_error_set(err, ENOENT, "the board on USB %s tells no serial at this stage; bind its port to a board with "
			"'board = NAME' in a [usb path %s] section of bramble.conf", path, path);
	r = br_glue_see(glue, &s, true, ret);
	if (r == -ENOENT)
		return br_error_set(err, ENOENT, "the board on USB %s (serial %" PRIx64 ") is not known, and unknown ones are not "
			"adopted; 'bramble board add NAME --serial %" PRIx64 "' adds it", path, s.serial, s.serial);
	return r < 0 ? br_error_set(err, -r, "the board on USB %s cannot be looked up: %s", path, strerrordesc_np(-r)) : 0;
}

static int take_subject(struct br_glue *glue, const json_t *body, struct subject *ret, struct br_error *err)
{
	static const char port[] = "0123456789-.";
	const char *path = text_of(body, "path"), *chip = text_of(body, "chip");

	*ret = (struct subject){ .path = path, .chip = chip };
	if (!path || !path[0] || strlen(path) > 63 || path[strspn(path, port)])
		return br_error_set(err, EINVAL, "'path': bus and ports are needed, as 1-2.3");
	if (!chip || !chip[0] || strlen(chip) > 20)
		return br_error_set(err, EINVAL, "'chip': a chip's name is needed, as BCM2711");
	return 0;
}

static int begin(void *ctx, const json_t *body, json_t **ret, struct br_error *err)
{
	struct br_glue *glue = ctx;
	struct subject s;
	bool local;
	int r = take_subject(glue, body, &s, err);

	if (!r)
		r = find_board(glue, body, &s.board, err);
	if (r < 0)
		return r;
	local = !strcmp(s.board.road, "local");
	/* as its DHCP would: what it did before is over */
	if (!local)
		r = br_boots_reach(glue->boots, &s.board, BR_STAGE_FIRMWARE_DHCP, NULL, NULL, err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:s, s:I}", "board", s.board.name, "road", local ? "local" : "net", "boot",
		(json_int_t)boot_of(glue, &s.board));
	return *ret ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

static int open_file(void *ctx, const char *name_of_board, const char *name, struct br_api_usb_file *ret,
	struct br_error *err)
{
	struct br_glue *glue = ctx;
	struct br_board board;
	struct br_glue_file f;
	int r = name_of_board ? br_board_by_name(glue->fleet, name_of_board, &board) : 0;

	if (r < 0)
		return br_error_set(err, -r, "there is no such board");
	r = br_glue_file_open_for(glue, name_of_board ? &board : NULL, name, &f);
	if (r < 0) {
		if (f.reason[0])
			br_error_set(err, -r, "%s: %s", f.path, f.reason);
		return r;
	}
	*ret = (struct br_api_usb_file){
		.spans = f.bf.spans,
		.n_spans = f.bf.n_spans,
		.size = f.bf.size,
		.ref = f.ref,
		.unref = f.unref,
	};
	return 0;
}

/* ---- what happened ---- */

static void emit(struct br_glue *glue, const struct subject *s, const char *type, json_t *fields)
{
	br_event_emit(glue->fleet, s->board.id, s->boot, type, fields);
}

static int on_found(struct br_glue *glue, struct subject *s, const json_t *ev, struct br_error *err)
{
	emit(glue, s, BR_EV_USB_FOUND, json_pack("{s:s, s:s, s:s*, s:s*, s:s*}", "path", s->path, "chip", s->chip, "stage",
					      text_of(ev, "stage"), "serial", text_of(ev, "serial"), "payload", text_of(ev, "payload")));
	return 0;
}

static int on_file(struct br_glue *glue, struct subject *s, const json_t *ev, struct br_error *err)
{
	const char *name = text_of(ev, "name");

	if (!name)
		return br_error_set(err, EINVAL, "a file without its name");
	if (json_is_true(json_object_get(ev, "net"))) /* ours: a kernel among them brings its boot further */
		br_glue_file_sent(glue, s->board.id, name);
	emit(glue, s, BR_EV_FILE_SENT, json_pack("{s:s, s:s, s:s, s:I, s:I}", "path", name, "via", "usb", "usb", s->path, "bytes",
					     (json_int_t)number_of(ev, "bytes"), "ms", (json_int_t)number_of(ev, "ms")));
	return 0;
}

static int on_missing(struct br_glue *glue, struct subject *s, const json_t *ev, struct br_error *err)
{
	const char *name = text_of(ev, "name");

	if (!name)
		return br_error_set(err, EINVAL, "a file without its name");
	emit(glue, s, BR_EV_FILE_MISSING, json_pack("{s:s, s:s, s:s, s:s*}", "path", name, "via", "usb", "usb", s->path,
						"reason", text_of(ev, "reason")));
	return 0;
}

static int on_step(struct br_glue *glue, struct subject *s, const json_t *ev, struct br_error *err)
{
	json_t *fields = json_pack("{s:s, s:s*, s:s*, s:s*}", "path", s->path, "step", text_of(ev, "step"), "name",
		text_of(ev, "name"), "detail", text_of(ev, "detail"));

	if (fields && number_of(ev, "bytes"))
		json_object_set_new(fields, "bytes", json_integer((json_int_t)number_of(ev, "bytes")));
	emit(glue, s, BR_EV_USB_STEP, fields);
	return 0;
}

static int on_end(struct br_glue *glue, struct subject *s, const json_t *ev, struct br_error *err)
{
	bool well = json_is_true(json_object_get(ev, "well"));

	emit(glue, s, well ? BR_EV_USB_DONE : BR_EV_USB_FAILED,
		json_pack("{s:s, s:s*, s:s*, s:I, s:I, s:I}", "path", s->path, "verdict", text_of(ev, "verdict"), "reason",
			text_of(ev, "reason"), "files", (json_int_t)number_of(ev, "files"), "bytes",
			(json_int_t)number_of(ev, "bytes"), "ms", (json_int_t)number_of(ev, "ms")));
	return 0;
}

/* The board that metadata tell of: serial, MAC and revision are what sightings are made of. */
static void see_by_metadata(struct br_glue *glue, struct subject *s, const json_t *facts)
{
	const char *mac = text_of(facts, "MAC_ADDR"), *rev = text_of(facts, "USER_BOARDREV");
	const struct br_pi_model *model;
	struct br_sighting seen = { 0 };
	struct br_board board;
	uint64_t revision;

	if (!serial_of(text_of(facts, "USER_SERIAL_NUM"), &seen))
		return;
	if (mac && br_mac_parse(mac, &seen.mac) < 0)
		seen.mac = (struct br_mac){ 0 };
	if (rev && !br_board_serial_parse(rev, &revision) && revision <= UINT32_MAX)
		seen.revision = (uint32_t)revision;
	model = br_pi_model_by_revision(seen.revision);
	if (model)
		br_strcpy(seen.model, sizeof(seen.model), model->id);
	if (br_glue_see(glue, &seen, true, &board) < 0)
		return;
	if (s->board.id && s->board.id != board.id)
		br_log_warning("USB %s: the board there is %s by its own words, and was taken for %s", s->path, board.name,
			s->board.name);
	s->board = board;
	s->boot = boot_of(glue, &board);
}

static int store_facts(struct br_glue *glue, const struct subject *s, const struct br_fact *facts, size_t n)
{
	struct br_error err = BR_ERROR_NULL;
	int r = s->board.id && n ? br_facts_put(glue->fleet, s->board.id, facts, n, &err) : 0;

	if (r < 0) /* no reason to fail a boot */
		br_log_warning("USB %s: what board %s says of itself is not kept: %s", s->path, s->board.name, err.text);
	return r;
}

static int on_metadata(struct br_glue *glue, struct subject *s, const json_t *ev, struct br_error *err)
{
	json_t *told = json_object_get(ev, "facts"), *value;
	br_cleanup(br_freep) struct br_fact *facts = calloc(BR_FACTS_MAX, sizeof(*facts));
	struct br_text words = BR_TEXT_NULL;
	const char *key;
	size_t n = 0;

	if (!facts)
		return br_error_set(err, ENOMEM, "out of memory");
	see_by_metadata(glue, s, told);
	json_object_foreach(told, key, value) {
		const char *text = json_string_value(value);

		if (!text || n == BR_FACTS_MAX || !br_fact_ok(key, text))
			continue;
		br_strcpy(facts[n].name, sizeof(facts[n].name), key);
		br_strcpy(facts[n++].value, sizeof(facts[0].value), text);
		br_text_addf(&words, "%s%s %s", words.len ? ", " : "", key, text);
	}
	store_facts(glue, s, facts, n);
	if (n)
		emit(glue, s, BR_EV_USB_METADATA, json_pack("{s:s, s:s}", "path", s->path, "told", words.buf ? words.buf : ""));
	br_text_done(&words);
	return 0;
}

static const struct {
	const char *kind;
	int (*on)(struct br_glue *glue, struct subject *s, const json_t *ev, struct br_error *err);
} kinds[] = {
	{ "found", on_found }, { "file", on_file }, { "missing", on_missing }, { "step", on_step },
	{ "metadata", on_metadata }, { "end", on_end },
};

static int on_event(struct br_glue *glue, struct subject *s, const json_t *ev, struct br_error *err)
{
	const char *kind = text_of(ev, "kind");

	for (size_t i = 0; kind && i < BR_ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].kind, kind))
			return kinds[i].on(glue, s, ev, err);
	return br_error_set(err, EINVAL, "an event of a kind that is not known");
}

static int report(void *ctx, const json_t *body, json_t **ret, struct br_error *err)
{
	const json_t *events = json_object_get(body, "events"), *ev;
	struct br_glue *glue = ctx;
	struct subject s;
	size_t i;
	int r = take_subject(glue, body, &s, err);

	if (r < 0)
		return r;
	if (find_board(glue, body, &s.board, NULL) < 0)
		s.board.id = 0; /* told all the same, of no board */
	s.boot = boot_of(glue, &s.board);
	json_array_foreach(events, i, ev) {
		r = on_event(glue, &s, ev, err);
		if (r < 0)
			return r;
	}
	*ret = json_pack("{s:s?}", "board", s.board.id ? s.board.name : NULL);
	return *ret ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

const struct br_api_usb_ops br_glue_usb_ops = { .begin = begin, .open = open_file, .report = report };
