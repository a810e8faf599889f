/* SPDX-License-Identifier: Apache-2.0 */
/* Boards on USB: from the policy to payloads, from sessions to the daemon. */
#include "cli/usbkeep.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/client.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/state.h"
#include "base/text.h"
#include "base/thread.h"
#include "cli/usbnet.h"
#include "store/image.h"
#include "usb/payload.h"

#define NOTES 32 /* places whose last words are remembered */
#define TELL_MS 5000  /* how long the daemon may take for one report */
#define PROBE_NS (10 * BR_S) /* how long an answer on a board is good */
#define TELL_MAX 4096 /* reports that wait; the oldest go first */

BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);
BR_DEFINE_CLEANUP(struct br_store *, br_store_close);

struct guest;

struct report {
	struct report *next;
	json_t *body;
};

struct br_usb_keeper {
	struct br_usb_keeper_options opt;
	struct br_client *client; /* the thread's */
	pthread_t thread;
	bool runs;
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t wake;
	struct report *first, **last;
	size_t n;
	bool stopping;
	uint64_t until_ns; /* when stopping */
	/* the caller's thread only: */
	struct guest *guests;
	struct probe *probes;
	struct note {
		char path[BR_USB_PATH_MAX];
		uint32_t words; /* CRC-32C */
	} notes[NOTES];
	unsigned next_note;
};

/* A board under way, on a path. */
struct guest {
	struct guest *next;
	struct br_usb_payload *payload;
	char path[BR_USB_PATH_MAX], serial[BR_USB_SERIAL_MAX], board[64];
	const char *chip;
	bool net; /* gets the daemon's boot files */
	uint64_t since_ns;
};

/* A board on 'net' whose daemon is being asked about it, in a thread. */
struct probe {
	struct probe *next;
	pthread_t thread;
	atomic_bool done;
	struct br_usb_net *net;
	char path[BR_USB_PATH_MAX], serial[BR_USB_SERIAL_MAX];
	const struct br_usbboot_model *model;
	bool rom;
	struct br_usb_payload *payload;
	int r;
	struct br_error err; /* why not, or what it lacks */
	uint64_t done_ns;
};

static void guest_free(struct guest *g)
{
	br_usb_payload_cancel(g->payload);
	br_usb_payload_unref(g->payload);
	free(g);
}

/* Waits for its thread. */
static void probe_free(struct probe *p)
{
	pthread_join(p->thread, NULL);
	br_usb_payload_unref(p->payload);
	br_usb_net_unref(p->net);
	free(p);
}

/* ---- the thread that tells the daemon ---- */

static struct report *next_report(struct br_usb_keeper *k)
{
	struct report *rep;

	pthread_mutex_lock(&k->lock);
	while (!k->first && !k->stopping)
		pthread_cond_wait(&k->wake, &k->lock);
	rep = k->first;
	if (rep) {
		k->first = rep->next;
		k->n--;
		if (!k->first)
			k->last = &k->first;
	}
	pthread_mutex_unlock(&k->lock);
	return rep;
}

static void report_free(struct report *rep)
{
	json_decref(rep->body);
	free(rep);
}

/* The rest is not worth the wait. */
static bool is_over(struct br_usb_keeper *k, bool failed)
{
	bool yes;

	pthread_mutex_lock(&k->lock);
	yes = k->stopping && (failed || br_now_ns() > k->until_ns);
	pthread_mutex_unlock(&k->lock);
	return yes;
}

static void *tell(void *arg)
{
	struct br_usb_keeper *k = arg;
	struct report *rep;

	while ((rep = next_report(k))) {
		/* that no daemon runs is no trouble of the boards': what it would be told is lost, as a log is */
		int r = br_client_call(k->client, "POST", "/v1/usb/report", rep->body, NULL, NULL);

		report_free(rep);
		if (is_over(k, r < 0))
			break;
	}
	return NULL;
}

/* event: taken. */
static void report(struct br_usb_keeper *k, const struct guest *g, json_t *event)
{
	struct report *rep = k->runs ? calloc(1, sizeof(*rep)) : NULL, *old = NULL;

	if (rep)
		rep->body = json_pack("{s:s, s:s, s:s*, s:s*, s:[o]}", "path", g->path, "chip", g->chip, "board",
			g->board[0] ? g->board : NULL, "serial", g->serial[0] ? g->serial : NULL, "events", event);
	else
		json_decref(event);
	if (!rep || !rep->body) {
		free(rep);
		return;
	}
	pthread_mutex_lock(&k->lock);
	if (k->n >= TELL_MAX) {
		old = k->first;
		k->first = old->next;
		k->n--;
	}
	*k->last = rep;
	k->last = &rep->next;
	k->n++;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
	if (old)
		report_free(old);
}

int br_usb_keeper_new(const struct br_usb_keeper_options *opt, struct br_usb_keeper **ret, struct br_error *err)
{
	struct br_usb_keeper *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return br_error_set(err, ENOMEM, "out of memory");
	k->opt = *opt;
	k->last = &k->first;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->wake, NULL);
	r = br_client_new(opt->state, &k->client, err);
	if (!r) {
		br_client_patience(k->client, TELL_MS);
		r = br_thread_start(&k->thread, tell, k);
		k->runs = !r;
		if (r)
			r = br_error_set(err, r, "a thread cannot be started: %s", strerror(r));
	}
	if (r < 0) {
		br_usb_keeper_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void br_usb_keeper_free(struct br_usb_keeper *k)
{
	if (!k)
		return;
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	k->until_ns = br_now_ns() + TELL_MS * BR_MS;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
	if (k->runs)
		pthread_join(k->thread, NULL);
	while (k->first) {
		struct report *rep = k->first;

		k->first = rep->next;
		report_free(rep);
	}
	for (struct probe *p = k->probes; p; p = p->next)
		br_usb_net_cancel(p->net);
	while (k->probes) {
		struct probe *p = k->probes;

		k->probes = p->next;
		probe_free(p);
	}
	while (k->guests) {
		struct guest *g = k->guests;

		k->guests = g->next;
		guest_free(g);
	}
	br_client_free(k->client);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/* ---- payloads ---- */

static int open_image(const struct br_usb_keeper *k, const char *name, const char *firmware, struct br_usb_payload **ret,
	struct br_error *err)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	br_cleanup(br_freep) char *state = NULL;
	int r = br_state_dir(k->opt.state, &state, err);

	if (!r)
		r = br_store_open(state, &store, err);
	if (!r)
		r = br_image_open(store, name, &image, err);
	return r < 0 ? r : br_usb_payload_image(image, firmware, ret, err);
}

static int open_path(const struct br_usb_rule *rule, const char *firmware, struct br_usb_payload **ret, struct br_error *err)
{
	struct br_usb_directory opt = { .dir = rule->what, .firmware = rule->firmware, .overlay = rule->overlay, .links = rule->links };
	struct stat st;
	int r;

	if (stat(rule->what, &st) < 0)
		return br_error_set(err, errno, "%s: %m", rule->what);
	if (!S_ISDIR(st.st_mode))
		return br_usb_payload_image_file(rule->what, firmware, ret, err);
	r = br_usb_payload_directory(&opt, ret, err);
	if (r != -ENOENT || rule->firmware || !firmware)
		return r;
	opt.firmware = firmware; /* it has no first stage of its own, and one is installed */
	return br_usb_payload_directory(&opt, ret, err);
}

static void *probe_run(void *arg)
{
	struct probe *p = arg;

	p->r = br_usb_net_open(p->net, &p->payload, &p->err);
	if (!p->r && p->rom) /* it may do without: who knows what firmware of tomorrow asks for */
		br_usb_payload_check(p->payload, p->model, &p->err);
	p->done_ns = br_now_ns();
	atomic_store(&p->done, true);
	return NULL;
}

static int probe_new(struct br_usb_keeper *k, const struct br_usb_rule *rule, const struct br_usb_device *dev,
	const struct br_usbboot_model *model, const char *firmware, struct br_error *err)
{
	struct br_usb_net_options net = { .state = k->opt.state, .path = dev->path, .chip = model->chip, .serial = dev->serial,
		.board = rule->board, .firmware = firmware };
	struct probe *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return br_error_set(err, ENOMEM, "out of memory");
	p->model = model;
	p->rom = br_usbboot_is_rom(dev->serial_index);
	memcpy(p->path, dev->path, sizeof(p->path));
	memcpy(p->serial, dev->serial, sizeof(p->serial));
	net.need = p->rom && !(firmware && br_usb_firmware_starts(firmware, model)) ? model->first_stage : NULL;
	r = br_usb_net_new(&net, &p->net, err);
	if (!r) {
		r = br_thread_start(&p->thread, probe_run, p);
		r = r ? br_error_set(err, r, "a thread cannot be started: %s", strerror(r)) : 0;
	}
	if (r < 0) {
		br_usb_net_unref(p->net);
		free(p);
		return r;
	}
	p->next = k->probes;
	k->probes = p;
	return -EINPROGRESS;
}

/* The daemon's answer on this board, err with what it lacks; -EINPROGRESS as long as there is none. */
static int open_net(struct br_usb_keeper *k, const struct br_usb_rule *rule, const struct br_usb_device *dev,
	const struct br_usbboot_model *model, const char *firmware, struct br_usb_payload **ret, struct br_error *err)
{
	struct probe **place = &k->probes, *p;
	bool same;
	int r;

	while (*place && strcmp((*place)->path, dev->path) != 0)
		place = &(*place)->next;
	p = *place;
	if (!p)
		return probe_new(k, rule, dev, model, firmware, err);
	same = p->model == model && !strcmp(p->serial, dev->serial) && p->rom == br_usbboot_is_rom(dev->serial_index);
	if (!same)
		br_usb_net_cancel(p->net);
	if (!atomic_load(&p->done))
		return -EINPROGRESS;
	*place = p->next;
	r = p->r;
	if (!same || br_now_ns() - p->done_ns > PROBE_NS) { /* of a board that left before it could be told */
		probe_free(p);
		return probe_new(k, rule, dev, model, firmware, err);
	}
	*err = p->err;
	*ret = br_take(p->payload);
	probe_free(p);
	return r;
}

static int open_payload(struct br_usb_keeper *k, const struct br_usb_rule *rule, const struct br_usb_device *dev,
	const struct br_usbboot_model *model, struct br_usb_payload **ret, struct br_error *err)
{
	const char *firmware = br_usb_policy_firmware(k->opt.policy, rule) ?: br_usb_firmware_find(model);
	int r = -ENOENT;

	switch (rule->boot) {
	case BR_USB_BOOT_NET:
		return open_net(k, rule, dev, model, firmware, ret, err);
	case BR_USB_BOOT_GADGET:
		r = br_usb_payload_gadget(model, ret, err);
		break;
	case BR_USB_BOOT_IMAGE:
		r = open_image(k, rule->what, firmware, ret, err);
		break;
	case BR_USB_BOOT_PATH:
		r = open_path(rule, firmware, ret, err);
		break;
	case BR_USB_BOOT_IGNORE:
		break;
	}
	if (!r && br_usbboot_is_rom(dev->serial_index) && br_usb_payload_check(*ret, model, err) < 0)
		r = br_usb_payload_has(*ret, model, model->first_stage) ? 0 : -ENOENT; /* it may do without the rest */
	return r;
}

/* A board that waits is asked for again and again: people are told once. */
static void note(struct br_usb_keeper *k, const struct br_usb_device *dev, const char *words)
{
	uint32_t sum = br_crc32c(0, words, strlen(words));
	struct note *n = NULL;

	for (size_t i = 0; i < NOTES && !n; i++)
		if (!strcmp(k->notes[i].path, dev->path))
			n = &k->notes[i];
	if (n && n->words == sum)
		return;
	if (!n)
		n = &k->notes[k->next_note++ % NOTES];
	memcpy(n->path, dev->path, sizeof(n->path));
	n->words = sum;
	if (k->opt.note)
		k->opt.note(k->opt.ctx, dev, words);
}

/* It came to something: the next words are news again. */
static void forget_note(struct br_usb_keeper *k, const char *path)
{
	for (size_t i = 0; i < NOTES; i++)
		if (!strcmp(k->notes[i].path, path))
			k->notes[i] = (struct note){ 0 };
}

static struct guest *guest_new(const struct br_usb_rule *rule, const struct br_usb_device *dev,
	const struct br_usbboot_model *model)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	memcpy(g->path, dev->path, sizeof(g->path));
	memcpy(g->serial, dev->serial, sizeof(g->serial));
	g->chip = model->chip;
	g->net = rule->boot == BR_USB_BOOT_NET;
	g->since_ns = br_now_ns();
	if (rule->board)
		br_strcpy(g->board, sizeof(g->board), rule->board);
	return g;
}

int br_usb_keeper_choose(struct br_usb_keeper *k, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	struct br_usb_choice *ret)
{
	const struct br_usb_rule *rule = br_usb_policy_choose(k->opt.policy, dev->path, dev->serial, model->chip);
	struct br_usb_payload *payload = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct guest *g;
	int r;

	if (rule->boot == BR_USB_BOOT_IGNORE)
		return 0;
	r = open_payload(k, rule, dev, model, &payload, &err);
	if (r == -EINPROGRESS)
		return r;
	if (!r && err.text[0])
		note(k, dev, err.text);
	g = r < 0 ? NULL : guest_new(rule, dev, model);
	if (!g) {
		note(k, dev, r < 0 ? br_error_text(&err, r) : "out of memory");
		br_usb_payload_unref(payload);
		return -EAGAIN;
	}
	g->payload = payload;
	g->next = k->guests;
	k->guests = g;
	*ret = (struct br_usb_choice){ .files = br_usb_payload_files(payload), .sign = rule->sign, .user = g };
	return 1;
}

/* The place of it, for taking it out. */
static struct guest **find_guest(struct br_usb_keeper *k, const char *path)
{
	struct guest **g = &k->guests;

	while (*g && strcmp((*g)->path, path) != 0)
		g = &(*g)->next;
	return g;
}

/* ---- what happens ---- */

/* Words that may have names of ours in them, which are bytes; "": nothing. */
static void set_bytes(json_t *event, const char *key, const char *words)
{
	if (event && words[0])
		br_json_set_bytes(event, key, words);
}

static json_t *step_event(const struct guest *g, const struct br_usb_step *step)
{
	json_int_t ms = (json_int_t)(step->took_ns / BR_MS);
	json_t *event;

	switch (step->kind) {
	case BR_USB_STEP_FOUND:
		event = json_pack("{s:s, s:s, s:s*}", "kind", "found", "stage", step->name, "serial", g->serial[0] ? g->serial : NULL);
		set_bytes(event, "payload", br_usb_payload_text(g->payload));
		return event;
	case BR_USB_STEP_FILE:
		return json_pack("{s:s, s:s, s:I, s:I, s:b}", "kind", "file", "name", step->name, "bytes", (json_int_t)step->bytes, "ms", ms,
			"net", (int)g->net);
	case BR_USB_STEP_MISSING:
		event = json_pack("{s:s, s:s}", "kind", "missing", "name", step->name);
		set_bytes(event, "reason", step->detail);
		return event;
	case BR_USB_STEP_METADATA: /* told at the end, as a whole */
	case BR_USB_STEP_VERDICT:
		return NULL;
	default:
		event = json_pack("{s:s, s:s, s:I}", "kind", "step", "step", br_usb_step_name(step->kind), "bytes", (json_int_t)step->bytes);
		set_bytes(event, "name", step->name);
		set_bytes(event, "detail", step->detail);
		return event;
	}
}

void br_usb_keeper_step(struct br_usb_keeper *k, const struct br_usb_session *s, const struct br_usb_step *step)
{
	struct guest *g = *find_guest(k, br_usb_session_path(s));
	const char *serial = br_usb_session_serial(s);
	json_t *event;

	if (!g)
		return;
	if (serial[0])
		br_strcpy(g->serial, sizeof(g->serial), serial);
	event = step_event(g, step);
	if (event)
		report(k, g, event);
}

/* Its words choose no record: the serial of a guest stays that of the device descriptor. */
static json_t *metadata_event(const struct br_usb_session *s)
{
	json_t *facts = json_object();
	size_t n;
	const struct br_usb_metadata *m = br_usb_session_metadata(s, &n);

	for (size_t i = 0; i < n; i++)
		json_object_set_new(facts, m[i].key, json_string(m[i].value));
	if (n)
		return json_pack("{s:s, s:o}", "kind", "metadata", "facts", facts);
	json_decref(facts);
	return NULL;
}

void br_usb_keeper_ended(struct br_usb_keeper *k, const struct br_usb_session *s)
{
	enum br_usb_verdict verdict = br_usb_session_verdict(s);
	struct guest **place = find_guest(k, br_usb_session_path(s)), *g = *place;
	unsigned files = 0;
	uint64_t bytes = br_usb_session_bytes(s, &files);
	json_t *metadata, *end;

	if (!g)
		return;
	metadata = metadata_event(s);
	if (metadata)
		report(k, g, metadata);
	end = json_pack("{s:s, s:s, s:b, s:I, s:I, s:I}", "kind", "end", "verdict", br_usb_verdict_name(verdict), "well",
		br_usb_verdict_is_well(verdict), "files", (json_int_t)files, "bytes", (json_int_t)bytes, "ms",
		(json_int_t)((br_now_ns() - g->since_ns) / BR_MS));
	set_bytes(end, "reason", br_usb_session_reason(s));
	report(k, g, end);
	*place = g->next;
	forget_note(k, g->path);
	guest_free(g);
}
