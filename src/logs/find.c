/* SPDX-License-Identifier: Apache-2.0 */
/* Finding lines: blocks from the newest on, shared out among threads. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/thread.h"
#include "logs/internal.h"
#include "logs/pattern.h"

#define THREADS_MAX 8
#define LONG_TEXT 512 /* bytes; of these one alone may be slow */
#define GIVEN_UP_MAX 1000 /* matches that took too long, before the search is given up */

struct hits {
	uint64_t *v;
	size_t n, cap;
};

struct job {
	struct br_logs *logs;
	const struct br_logs_filter *f;
	uint64_t deadline_ns;
	size_t limit;
	const char *literal; /* n_literal 0: none */
	size_t n_literal;
	bool folded, literal_only;
	struct br_logs_place *places; /* on disk */
	struct br_logs_block *recent[BR_LOGS_QUEUE + 1];
	size_t n_places, n_recent;
	struct hits *hits;	      /* by place, then recent: the order of the lines */
	atomic_size_t taken, found;   /* from the end on; lines */
	atomic_int failed;	      /* the first negative errno */
};

/* One thread's. */
struct searcher {
	struct job *job;
	struct br_logs_fetch *fetch;
	struct br_logs_matcher *matcher; /* NULL: no pattern, or the literal is all of it */
	char *folded;
	size_t cap_folded;
};

static int add_hit(struct hits *h, uint64_t seq)
{
	if (br_array_reserve(&h->v, &h->cap, h->n + 1, sizeof(*h->v)) < 0)
		return -ENOMEM;
	h->v[h->n++] = seq;
	return 0;
}

static const char *folded_text(struct searcher *s, const struct br_logs_block *b)
{
	size_t n = b->head.n_text;

	if (br_array_reserve(&s->folded, &s->cap_folded, n + 1, 1) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		char c = b->text[i];

		s->folded[i] = (char)(c + ((unsigned char)(c - 'A') < 26 ? 32 : 0));
	}
	return s->folded;
}

/* The deadline is looked at between blocks, and where matching is slow between lines, too. */
static int out_of_time(const struct searcher *s)
{
	const struct job *j = s->job;

	if (s->matcher && br_logs_matcher_given_up(s->matcher) > GIVEN_UP_MAX)
		return -E2BIG;
	return j->deadline_ns && br_now_ns() > j->deadline_ns ? -ETIMEDOUT : 0;
}

/* Without a literal, or with one that is known to be in the block. */
static int search_lines(struct searcher *s, const struct br_logs_block *b, struct hits *hits)
{
	const struct job *j = s->job;
	const char *text = j->n_literal && j->folded ? folded_text(s, b) : b->text;
	const char *end = text + b->head.n_text, *hit = NULL;
	struct br_logs_cursor c = br_logs_cursor_of(b);
	struct br_logs_line line;
	unsigned looked = 0;
	int r = text ? 0 : -ENOMEM;

	while (r == 0 && br_logs_cursor_next(&c, &line)) {
		const char *start = text + c.text_start;

		if (j->n_literal && (!hit || hit < start))
			hit = memmem(start, (size_t)(end - start), j->literal, j->n_literal);
		if (j->n_literal && !hit)
			break;
		if (j->n_literal && (hit > start + line.n_text || (size_t)(start + line.n_text - hit) < j->n_literal))
			continue; /* it begins in a later line, or goes over the end of this one */
		if (!br_logs_line_passes(&line, j->f))
			continue;
		if (s->matcher && !br_logs_matches(s->matcher, line.text, line.n_text))
			r = ++looked % 64 && line.n_text <= LONG_TEXT ? 0 : out_of_time(s);
		else
			r = add_hit(hits, line.seq);
	}
	return r;
}

static int search_block(struct searcher *s, const struct br_logs_block *b, struct hits *hits)
{
	const struct job *j = s->job;

	/* most blocks that the filter lets through without reason end here */
	if (j->n_literal && !j->folded && !memmem(b->text, b->head.n_text, j->literal, j->n_literal))
		return 0;
	return search_lines(s, b, hits);
}

static int search_place(struct searcher *s, const struct br_logs_place *p, struct hits *hits)
{
	const struct job *j = s->job;
	struct br_logs_block *b = NULL;
	int r;

	if (!br_logs_fetch_may_have(s->fetch, p, j->literal, j->n_literal))
		return 0;
	r = br_logs_fetch_block(s->fetch, p, &b);
	if (r == -EBADMSG || r == -EIO) { /* one block of many: the others are there */
		br_logs_shelf_damaged(j->logs->shelf);
		return 0;
	}
	if (r == 0)
		r = search_block(s, b, hits);
	br_logs_block_unref(b);
	return r;
}

static void *search(void *arg)
{
	struct job *j = arg;
	struct searcher s = { .job = j, .fetch = br_logs_fetch_new() };
	size_t total = j->n_places + j->n_recent;
	int r = s.fetch ? 0 : -ENOMEM;

	if (j->f->pattern && !j->literal_only) {
		s.matcher = br_logs_matcher_new(j->f->pattern);
		r = s.matcher ? r : -ENOMEM;
	}
	while (r == 0 && atomic_load(&j->found) <= j->limit && !atomic_load(&j->failed)) {
		size_t taken = atomic_fetch_add(&j->taken, 1), i = total - 1 - taken;

		if (taken >= total)
			break;
		r = i < j->n_places ? search_place(&s, &j->places[i], &j->hits[i]) :
				      search_block(&s, j->recent[i - j->n_places], &j->hits[i]);
		atomic_fetch_add(&j->found, j->hits[i].n);
		if (r == 0)
			r = out_of_time(&s);
	}
	if (r < 0)
		atomic_store(&j->failed, r);
	br_logs_fetch_free(s.fetch);
	br_logs_matcher_free(s.matcher);
	free(s.folded);
	return NULL;
}

/* In as many threads as there are processors, this one among them. */
static void search_all(struct job *j)
{
	pthread_t threads[THREADS_MAX];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = 0, total = j->n_places + j->n_recent;

	while (n + 1 < THREADS_MAX && (long)n + 1 < cpus && n + 1 < total && !br_thread_start(&threads[n], search, j))
		n++;
	search(j);
	while (n)
		pthread_join(threads[--n], NULL);
}

/* The newest 'limit' of all that was found, in order. */
static int gather(struct job *j, uint64_t **ret, size_t *ret_n, bool *ret_more)
{
	size_t total = j->n_places + j->n_recent, found = atomic_load(&j->found);
	size_t n = found < j->limit ? found : j->limit, at = n;
	uint64_t *seqs = malloc((n + 1) * sizeof(*seqs));

	if (!seqs)
		return -ENOMEM;
	for (size_t i = total; i-- && at;) {
		const struct hits *h = &j->hits[i];
		size_t take = h->n < at ? h->n : at;

		at -= take;
		if (take)
			memcpy(seqs + at, h->v + h->n - take, take * sizeof(*seqs));
	}
	*ret = seqs;
	*ret_n = n;
	*ret_more = found > n;
	return 0;
}

static int prepare(struct job *j)
{
	uint64_t before;
	int r = br_logs_recent(j->logs, j->f, j->recent, &j->n_recent, &before);

	if (r == 0)
		r = br_logs_shelf_places(j->logs->shelf, j->f, before, &j->places, &j->n_places);
	if (r < 0)
		return r;
	j->hits = calloc(j->n_places + j->n_recent + 1, sizeof(*j->hits));
	if (j->f->pattern) {
		j->literal = br_logs_pattern_literal(j->f->pattern, &j->n_literal);
		j->folded = br_logs_pattern_ignores_case(j->f->pattern);
		j->literal_only = j->n_literal && br_logs_pattern_is_literal(j->f->pattern);
	}
	return j->hits ? 0 : -ENOMEM;
}

int br_logs_find(struct br_logs *logs, const struct br_logs_filter *f, uint64_t deadline_ns, uint64_t **ret_seqs,
	size_t *ret_n, bool *ret_more, struct br_error *err)
{
	struct job j = { .logs = logs, .f = f, .deadline_ns = deadline_ns };
	int r;

	j.limit = f->limit && f->limit < BR_LOGS_LIMIT_MAX ? f->limit : BR_LOGS_LIMIT_MAX;
	r = prepare(&j);
	if (r == 0) {
		search_all(&j);
		r = atomic_load(&j.failed);
	}
	if (r == 0)
		r = gather(&j, ret_seqs, ret_n, ret_more);
	for (size_t i = 0; j.hits && i < j.n_places + j.n_recent; i++)
		free(j.hits[i].v);
	free(j.hits);
	for (size_t i = 0; i < j.n_recent; i++)
		br_logs_block_unref(j.recent[i]);
	br_logs_places_free(j.places, j.n_places);
	if (r == -ETIMEDOUT)
		return br_error_set(err, ETIMEDOUT, "the search took too long; narrow it with boards or times, or give an expression with more text that must be there");
	if (r == -E2BIG)
		return br_error_set(err, EINVAL, "the expression takes too many steps on too many lines; make it simpler");
	return r < 0 ? br_error_set(err, -r, "logs: %s", strerrordesc_np(-r)) : 0;
}
