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
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/glue_file.h"
#include "fleet/event.h"
#include "fleet/fact.h"
#include "pi/identity.h"

/* Who a body is about. */
struct subject {
	const char *path, *chip; /* never NULL */
	struct br_sighting device; /* the serial of its device descriptor, where it has one */
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

#define ADOPT_BURST 60 /* boards at once on one root port */
#define ADOPT_EACH_NS (60 * BR_S)

/* A device may say another serial each time it comes: it must not fill the record with boards. */
static bool may_adopt(struct br_glue *glue, const char *path)
{
	size_t root = strcspn(path, "."), n = BR_ARRAY_SIZE(glue->usb_adopted);
	atomic_uint_least64_t *paid = &glue->usb_adopted[br_crc32c(0, path, root) % n];
	uint64_t now = br_now_ns(), until = atomic_load(paid);

	if (until > now + (ADOPT_BURST - 1) * ADOPT_EACH_NS)
		return false;
	atomic_store(paid, (until > now ? until : now) + ADOPT_EACH_NS);
	return true;
}

static int see_serial(struct br_glue *glue, const char *path, const struct br_sighting *s, struct br_board *ret, struct br_error *err)
{
	int r = br_glue_see(glue, s, false, ret);

	if (r == -ENOENT && glue->adopt && !may_adopt(glue, path))
		return br_error_set(err, ENOENT, "the board on USB %s (serial %" PRIx64 ") is not known, and too many new ones came on this "
			"port: wait a minute, or 'bramble board add NAME --serial %" PRIx64 "' adds it", path, s->serial, s->serial);
	if (r == -ENOENT)
		r = br_glue_see(glue, s, true, ret);
	if (r == -ENOENT)
		return br_error_set(err, ENOENT, "the board on USB %s (serial %" PRIx64 ") is not known, and unknown ones are not "
			"adopted; 'bramble board add NAME --serial %" PRIx64 "' adds it", path, s->serial, s->serial);
	return r < 0 ? br_error_set(err, -r, "the board on USB %s cannot be looked up: %s", path, strerrordesc_np(-r)) : 0;
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
	return see_serial(glue, path, &s, ret, err);
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
	serial_of(text_of(body, "serial"), &ret->device);
	return 0;
}

static int begin(void *ctx, const json_t *body, json_t **ret, struct br_error *err)
{
	struct br_glue *glue = ctx;
	struct subject s;
	const char *need = text_of(body, "need");
	bool local;
	int r = take_subject(glue, body, &s, err);

	if (!r)
		r = find_board(glue, body, &s.board, err);
	if (r < 0)
		return r;
	local = !strcmp(s.board.road, "local");
	/* one that cannot start must not take the boot that runs from under it */
	if (!local && need)
		r = br_boots_would_have(glue->boots, &s.board, need, err);
	if (r < 0)
		return r;
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
		else if (r == -EACCES) /* not there for this one: no reason to end its session */
			r = br_error_set(err, ENOENT, "%s: " BR_API_NO_FILE, f.path);
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

/* What metadata tell of the board itself. */
static void take_sighting(const json_t *facts, struct br_sighting *ret)
{
	const char *mac = text_of(facts, "MAC_ADDR"), *rev = text_of(facts, "USER_BOARDREV");
	const struct br_pi_model *model;
	uint64_t revision;

	*ret = (struct br_sighting){ 0 };
	serial_of(text_of(facts, "USER_SERIAL_NUM"), ret);
	if (mac && br_mac_parse(mac, &ret->mac) < 0)
		ret->mac = (struct br_mac){ 0 };
	if (rev && !br_board_serial_parse(rev, &revision) && revision <= UINT32_MAX)
		ret->revision = (uint32_t)revision;
	model = br_pi_model_by_revision(ret->revision);
	if (model)
		br_strcpy(ret->model, sizeof(ret->model), model->id);
}

/* As the fleet compares them: by the low half, which is all that old boards have. */
static bool same_serial(uint64_t a, uint64_t b)
{
	return (uint32_t)a == (uint32_t)b;
}

/* The record's serial is that of the device descriptor: the board is who it is taken for by more than its port. */
static bool is_proven(const struct subject *s)
{
	return s->device.serial_known && s->board.serial_known && same_serial(s->device.serial, s->board.serial);
}

/*
 * Metadata are the board's words: they choose no record. Whether they, the device descriptor and the record are of one board; -EPERM
 * with words that say whose they are instead.
 */
static int check_identity(struct br_glue *glue, const struct subject *s, const struct br_sighting *told, struct br_error *err)
{
	const struct br_sighting *claims[] = { &s->device, told };
	const char *name = s->board.name;
	struct br_board other;

	for (size_t i = 0; i < BR_ARRAY_SIZE(claims); i++) {
		const char *who = i ? "its metadata" : "its device descriptor";

		if (!claims[i]->serial_known)
			continue;
		if (s->board.serial_known && !same_serial(claims[i]->serial, s->board.serial))
			return br_error_set(err, EPERM, "%s has serial %" PRIx64 ", board %s has %" PRIx64, who, claims[i]->serial, name,
				s->board.serial);
		if (!br_board_by_serial(glue->fleet, (uint32_t)claims[i]->serial, &other) && other.id != s->board.id)
			return br_error_set(err, EPERM, "%s has serial %" PRIx64 ", which is board %s's", who, claims[i]->serial, other.name);
	}
	if (s->device.serial_known && told->serial_known && !same_serial(s->device.serial, told->serial))
		return br_error_set(err, EPERM, "its metadata have serial %" PRIx64 ", its device descriptor has %" PRIx64, told->serial,
			s->device.serial);
	if (!br_mac_is_zero(told->mac) && !br_board_by_mac(glue->fleet, told->mac, &other) && other.id != s->board.id)
		return br_error_set(err, EPERM, "its metadata have the MAC address of board %s", other.name);
	return 0;
}

static void trouble(struct br_glue *glue, const struct subject *s, const char *words)
{
	br_log_warning("USB %s: %s", s->path, words);
	emit(glue, s, BR_EV_USB_STEP, json_pack("{s:s, s:s, s:s}", "path", s->path, "step", "trouble", "detail", words));
}

/* What the record lacks. A MAC address that it has stays: the network knows the board by it. */
static void complete_record(struct br_glue *glue, struct subject *s, const struct br_sighting *told)
{
	struct br_sighting seen = *told;

	seen.serial_known = true;
	seen.serial = s->board.serial;
	if (!br_mac_is_zero(s->board.mac))
		seen.mac = (struct br_mac){ 0 };
	br_glue_see(glue, &seen, false, &s->board);
}

/* Those that may be stored, the known ones first: made-up names do not crowd them out. */
static size_t take_facts(json_t *told, bool proven, struct br_fact facts[static BR_FACTS_MAX], struct br_text *words)
{
	const char *key;
	json_t *value;
	size_t n = 0;

	for (int known = 1; known >= 0; known--)
		json_object_foreach(told, key, value) {
			const char *text = json_string_value(value);

			if (!text || n == BR_FACTS_MAX || br_fact_known(key) != known || !br_fact_ok(key, text))
				continue;
			br_text_addf(words, "%s%s %s", words->len ? ", " : "", key, text);
			if (!proven && !strcmp(key, BR_FACT_KEY_HASH))
				continue;
			br_strcpy(facts[n].name, sizeof(facts[n].name), key);
			br_strcpy(facts[n++].value, sizeof(facts[0].value), text);
		}
	return n;
}

static void store_facts(struct br_glue *glue, const struct subject *s, const struct br_fact *facts, size_t n)
{
	struct br_error err = BR_ERROR_NULL;

	if (!n || br_facts_put(glue->fleet, s->board.id, facts, n, &err) >= 0)
		return;
	/* no reason to fail a boot */
	br_error_prefix(&err, "not all that board %s says of itself is kept", s->board.name);
	trouble(glue, s, err.text);
}

static int on_metadata(struct br_glue *glue, struct subject *s, const json_t *ev, struct br_error *err)
{
	json_t *told = json_object_get(ev, "facts");
	br_cleanup(br_freep) struct br_fact *facts = calloc(BR_FACTS_MAX, sizeof(*facts));
	struct br_error why = BR_ERROR_NULL;
	struct br_text words = BR_TEXT_NULL;
	struct br_sighting seen;
	size_t n;

	if (!facts)
		return br_error_set(err, ENOMEM, "out of memory");
	take_sighting(told, &seen);
	if (s->board.id && check_identity(glue, s, &seen, &why) < 0) {
		br_error_prefix(&why, "what the board there says of itself is not kept");
		trouble(glue, s, why.text);
		return 0;
	}
	n = take_facts(told, is_proven(s), facts, &words);
	if (words.len)
		emit(glue, s, BR_EV_USB_METADATA, json_pack("{s:s, s:s}", "path", s->path, "told", words.buf ? words.buf : ""));
	br_text_done(&words);
	if (!s->board.id)
		return 0;
	if (is_proven(s))
		complete_record(glue, s, &seen);
	else if (text_of(told, BR_FACT_KEY_HASH))
		trouble(glue, s, BR_FACT_KEY_HASH " is not kept: only the port says who the board is; it counts when the record's serial and "
			"that of the device agree ('bramble board edit BOARD --serial SERIAL')");
	store_facts(glue, s, facts, n);
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
