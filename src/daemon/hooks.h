/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fleet/fleet.h"

/*
 * Hooks: events told to others, by HTTP or by a program ([hook NAME] of bramble.conf(5)). Each has a thread and a bounded queue of its
 * own, so that one that hangs holds up nothing: neither who emits an event nor another hook. What finds no room is lost, and counted.
 */
#define BR_HOOKS_MAX 16
#define BR_HOOK_NAME_MAX 31

struct br_hook {
	char name[BR_HOOK_NAME_MAX + 1];
	char on[512];	  /* types with commas between; "flash.*" is all of flash, "*" is all */
	char url[512];	  /* http or https; "" : exec */
	char exec[1024];  /* program with its full path, and words: {type}, {board}, {boot}, {seq}, {event} (all of it, JSON) */
	char secret[256]; /* of the signature; "" : none */
	uint64_t timeout_ns; /* of one try; 0: 10 s */
};

/* Sets one setting of a hook: NULL, or words for what would be right. -ENOENT in *ret: there is no such setting. */
const char *br_hook_set(struct br_hook *hook, const char *name, const char *value, int *ret);
/* NULL: complete; else words. */
const char *br_hook_check(const struct br_hook *hook);
/* Whether a hook wants events of a type. */
bool br_hook_wants(const struct br_hook *hook, const char *type);
/* "sha256=" and the HMAC-SHA256 of "TIME.BODY" under the secret, in hexadecimal digits. */
#define BR_HOOK_SIGNATURE 72
void br_hook_sign(const char *secret, int64_t time_s, const char *body, char out[static BR_HOOK_SIGNATURE]);
/* The words of an exec hook for an event (JSON text); an array ended by NULL, freed with br_hook_words_free(). NULL: out of memory. */
char **br_hook_words(const struct br_hook *hook, const char *event);
void br_hook_words_free(char **words);

struct br_hooks;
int br_hooks_start(struct br_fleet *fleet, const struct br_hook *hooks, size_t n, struct br_hooks **ret, struct br_error *err);
/* What is being told is broken off, what waits is dropped. NULL is accepted. */
void br_hooks_stop(struct br_hooks *hooks);
