/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for boards on USB. */
#include "usb/policy.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "wire/usbboot.h"

#define DIGITS "0123456789abcdefABCDEF"

static void rule_done(struct br_usb_rule *rule)
{
	free(rule->value);
	free(rule->what);
	free(rule->board);
	free(rule->firmware);
}

void br_usb_policy_done(struct br_usb_policy *policy)
{
	for (size_t i = 0; i < policy->n; i++)
		rule_done(&policy->rules[i]);
	rule_done(&policy->rest);
	free(policy->rules);
	*policy = (struct br_usb_policy){ 0 };
}

/* ---- which rule ---- */

static const char *check_serial(const char *v)
{
	return v[0] && strlen(v) <= 64 ? NULL : "a serial is needed, as 10000000a1b2c3d4";
}

static const char *check_path(const char *v)
{
	return v[0] && !v[strspn(v, "0123456789-.*?[]!")] ? NULL : "bus and ports are needed, as 1-2.3, or a pattern of these, as 1-2.*";
}

static const char *check_chip(const char *v)
{
	const struct br_usbboot_model *m;

	for (size_t i = 0; (m = br_usbboot_model_at(i)); i++)
		if (!strcasecmp(v, m->chip))
			return NULL;
	return "one of BCM2835, BCM2837, BCM2711, BCM2712 is needed";
}

static const struct {
	const char *word;
	enum br_usb_match match;
	const char *(*check)(const char *value);
} matches[] = {
	{ "serial ", BR_USB_MATCH_SERIAL, check_serial },
	{ "path ", BR_USB_MATCH_PATH, check_path },
	{ "chip ", BR_USB_MATCH_CHIP, check_chip },
};

static int add_rule(struct br_usb_policy *policy, enum br_usb_match match, const char *value, struct br_usb_rule **ret,
	struct br_error *err)
{
	char *copy = strdup(value);

	if (!copy || br_array_reserve(&policy->rules, &policy->cap, policy->n + 1, sizeof(*policy->rules)) < 0) {
		free(copy);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	*ret = &policy->rules[policy->n++];
	**ret = (struct br_usb_rule){ .match = match, .value = copy };
	return 0;
}

static int find_rule(struct br_usb_policy *policy, const char *rule, struct br_usb_rule **ret, struct br_error *err)
{
	char vis[80];

	*ret = &policy->rest;
	if (!rule[0])
		return 0;
	for (size_t i = 0; i < BR_ARRAY_SIZE(matches); i++) {
		const char *value = rule + strlen(matches[i].word), *wrong;

		if (!br_str_starts(rule, matches[i].word))
			continue;
		value += strspn(value, " ");
		wrong = matches[i].check(value);
		if (wrong)
			return br_error_set(err, EINVAL, "[usb %s]: %s", br_vis(vis, sizeof(vis), rule, strlen(rule)), wrong);
		for (size_t k = 0; k < policy->n; k++) {
			*ret = &policy->rules[k];
			if ((*ret)->match == matches[i].match && !strcasecmp((*ret)->value, value))
				return 0;
		}
		return add_rule(policy, matches[i].match, value, ret, err);
	}
	return br_error_set(err, EINVAL, "[usb %s]: rules are for 'serial S', 'path P' or 'chip C'",
		br_vis(vis, sizeof(vis), rule, strlen(rule)));
}

/* ---- its settings: NULL, or what is wrong ---- */

static const char *set_text(char **slot, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return "out of memory";
	free(*slot);
	*slot = copy;
	return NULL;
}

static const char *set_flag(bool *slot, const char *value)
{
	*slot = !strcmp(value, "yes");
	return *slot || !strcmp(value, "no") ? NULL : "must be yes or no";
}

static const char *set_boot(struct br_usb_rule *rule, const char *v)
{
	static const struct {
		const char *word;
		enum br_usb_boot boot;
	} words[] = { { "net", BR_USB_BOOT_NET }, { "ignore", BR_USB_BOOT_IGNORE }, { "gadget", BR_USB_BOOT_GADGET } };

	for (size_t i = 0; i < BR_ARRAY_SIZE(words); i++) {
		if (!strcmp(v, words[i].word)) {
			rule->boot = words[i].boot;
			return NULL;
		}
	}
	if (br_str_starts(v, "image ") && v[6 + strspn(v + 6, " ")]) {
		rule->boot = BR_USB_BOOT_IMAGE;
		return set_text(&rule->what, v + 6 + strspn(v + 6, " "));
	}
	if (!strchr(v, '/'))
		return "must be net, ignore, gadget, 'image NAME', or a path with a '/' in it";
	rule->boot = BR_USB_BOOT_PATH;
	return set_text(&rule->what, v);
}

static const char *set_board(struct br_usb_rule *rule, const char *v)
{
	return v[0] ? set_text(&rule->board, v) : "must be a board's name";
}

static const char *set_firmware(struct br_usb_rule *rule, const char *v)
{
	return v[0] ? set_text(&rule->firmware, v) : "must be a directory";
}

static const char *set_overlay(struct br_usb_rule *rule, const char *v)
{
	return set_flag(&rule->overlay, v);
}

static const char *set_links(struct br_usb_rule *rule, const char *v)
{
	return set_flag(&rule->links, v);
}

static const char *set_sign(struct br_usb_rule *rule, const char *v)
{
	return set_flag(&rule->sign, v);
}

static const struct {
	const char *key;
	const char *(*set)(struct br_usb_rule *rule, const char *value);
} settings[] = {
	{ "boot", set_boot }, { "board", set_board }, { "firmware", set_firmware }, { "overlay", set_overlay },
	{ "follow-links", set_links }, { "sign", set_sign },
};

int br_usb_policy_set(struct br_usb_policy *policy, const char *rule, const char *key, const char *value,
	struct br_error *err)
{
	struct br_usb_rule *found;
	const char *wrong;
	char vis[80];
	int r = find_rule(policy, rule, &found, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < BR_ARRAY_SIZE(settings); i++) {
		if (strcmp(settings[i].key, key) != 0)
			continue;
		wrong = settings[i].set(found, value);
		return wrong ? br_error_set(err, EINVAL, "%s '%s': %s", key, br_vis(vis, sizeof(vis), value, strlen(value)), wrong) : 0;
	}
	return br_error_set(err, EINVAL, "setting '%s' is not known in a [usb] section; there are boot, board, firmware, overlay, "
		"follow-links, sign", br_vis(vis, sizeof(vis), key, strlen(key)));
}

/* ---- for a board ---- */

/* 1 to 16 digits, without what may stand before them. 0: they are no number. */
static size_t digits_of(const char **s)
{
	size_t n;

	*s += br_str_starts(*s, "0x") ? 2 : 0;
	n = strlen(*s);
	return n <= 16 && strspn(*s, DIGITS) == n ? n : 0;
}

static bool same_serial(const char *a, const char *b)
{
	size_t n = digits_of(&a), k = digits_of(&b);
	uint64_t mask = n <= 8 || k <= 8 ? UINT32_MAX : UINT64_MAX;

	if (!n || !k)
		return !strcasecmp(a, b);
	return (strtoull(a, NULL, 16) & mask) == (strtoull(b, NULL, 16) & mask);
}

static bool fits(const struct br_usb_rule *rule, bool exact, const char *path, const char *serial, const char *chip)
{
	switch (rule->match) {
	case BR_USB_MATCH_SERIAL:
		return serial[0] && same_serial(rule->value, serial);
	case BR_USB_MATCH_PATH:
		return exact ? !strcmp(rule->value, path) : !fnmatch(rule->value, path, 0);
	case BR_USB_MATCH_CHIP:
		return !strcasecmp(rule->value, chip);
	case BR_USB_MATCH_REST:
		break;
	}
	return false;
}

const struct br_usb_rule *br_usb_policy_choose(const struct br_usb_policy *policy, const char *path, const char *serial,
	const char *chip)
{
	static const struct {
		enum br_usb_match match;
		bool exact;
	} order[] = { { BR_USB_MATCH_SERIAL, true }, { BR_USB_MATCH_PATH, true }, { BR_USB_MATCH_PATH, false },
		{ BR_USB_MATCH_CHIP, true } };

	for (size_t o = 0; o < BR_ARRAY_SIZE(order); o++)
		for (size_t i = 0; i < policy->n; i++)
			if (policy->rules[i].match == order[o].match && fits(&policy->rules[i], order[o].exact, path, serial, chip))
				return &policy->rules[i];
	return &policy->rest;
}

const char *br_usb_policy_firmware(const struct br_usb_policy *policy, const struct br_usb_rule *rule)
{
	return rule->firmware ? rule->firmware : policy->rest.firmware;
}
