/* SPDX-License-Identifier: Apache-2.0 */
#include "api/webshare.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct br_web_share {
	char name[sizeof(((struct br_who *)0)->name)]; /* the key */
	bool stranger;
	size_t n;
	UT_hash_handle hh;
};

void br_web_shares_init(struct br_web_shares *shares, const struct br_web_share_limits *limits)
{
	*shares = (struct br_web_shares){ .limits = *limits };
	pthread_mutex_init(&shares->lock, NULL);
	pthread_cond_init(&shares->gone, NULL);
}

void br_web_shares_done(struct br_web_shares *shares)
{
	pthread_cond_destroy(&shares->gone);
	pthread_mutex_destroy(&shares->lock);
}

/* Where nothing is taken yet, one amount always fits: a long list is better than none. */
static bool fits(size_t n, size_t amount, size_t max)
{
	return !n || (n <= max && amount <= max - n);
}

static struct br_web_share *share_of(struct br_web_shares *shares, const struct br_who *who)
{
	struct br_web_share *s;

	HASH_FIND_STR(shares->callers, who->name, s);
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	memcpy(s->name, who->name, sizeof(s->name));
	s->stranger = who->scope < BR_SCOPE_OPERATE;
	HASH_ADD_STR(shares->callers, name, s);
	return s;
}

static void drop_if_empty(struct br_web_shares *shares, struct br_web_share *s)
{
	if (s->n)
		return;
	HASH_DEL(shares->callers, s);
	free(s);
}

struct br_web_share *br_web_share_take(struct br_web_shares *shares, const struct br_who *who, size_t amount)
{
	const struct br_web_share_limits *l = &shares->limits;
	struct br_web_share *s = NULL;

	pthread_mutex_lock(&shares->lock);
	if (!shares->stopping && fits(shares->n, amount, l->max))
		s = share_of(shares, who);
	if (s && fits(s->n, amount, s->stranger ? l->stranger : l->operator) && (!s->stranger || fits(shares->n_strangers, amount, l->strangers))) {
		s->n += amount;
		shares->n += amount;
		shares->n_strangers += s->stranger ? amount : 0;
	} else if (s) {
		drop_if_empty(shares, s);
		s = NULL;
	}
	pthread_mutex_unlock(&shares->lock);
	return s;
}

void br_web_share_give_back(struct br_web_shares *shares, struct br_web_share *share, size_t amount)
{
	if (!share)
		return;
	pthread_mutex_lock(&shares->lock);
	share->n -= amount;
	shares->n -= amount;
	shares->n_strangers -= share->stranger ? amount : 0;
	drop_if_empty(shares, share);
	pthread_cond_broadcast(&shares->gone);
	pthread_mutex_unlock(&shares->lock);
}

void br_web_shares_end(struct br_web_shares *shares)
{
	pthread_mutex_lock(&shares->lock);
	shares->stopping = true;
	while (shares->n)
		pthread_cond_wait(&shares->gone, &shares->lock);
	pthread_mutex_unlock(&shares->lock);
}

size_t br_web_shares_taken(struct br_web_shares *shares)
{
	size_t n;

	pthread_mutex_lock(&shares->lock);
	n = shares->n;
	pthread_mutex_unlock(&shares->lock);
	return n;
}
