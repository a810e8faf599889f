/* SPDX-License-Identifier: Apache-2.0 */
/* Marks: a small file of lines "NS SEQ NAME", oldest first, written anew for each change. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "logs/internal.h"

#define FILE_MAX (BR_LOGS_MARKS * 128)

struct br_logs_marks {
	char *path;
	pthread_mutex_t lock;
	struct br_logs_mark v[BR_LOGS_MARKS];
	size_t n;
};

/* A line that is none is passed over: the file is ours. */
static void take_line(struct br_logs_marks *m, const char *line)
{
	struct br_logs_mark mark = { 0 };

	if (m->n < BR_LOGS_MARKS && sscanf(line, "%" SCNu64 " %" SCNu64 " %63s", &mark.wall_ns, &mark.seq, mark.name) == 3 &&
		br_logs_mark_ok(mark.name) && mark.seq <= INT64_MAX)
		m->v[m->n++] = mark;
}

int br_logs_marks_open(const char *dir, struct br_logs_marks **ret, struct br_error *err)
{
	struct br_logs_marks *m = calloc(1, sizeof(*m));
	br_cleanup(br_freep) char *data = NULL;
	char *save = NULL;
	size_t n = 0;
	int r;

	if (!m)
		return br_error_set(err, ENOMEM, "out of memory");
	m->path = br_path_join(dir, "marks");
	pthread_mutex_init(&m->lock, NULL);
	r = m->path ? br_file_read(m->path, FILE_MAX, &data, &n, err) : br_error_set(err, ENOMEM, "out of memory");
	if (r < 0 && r != -ENOENT) {
		br_logs_marks_close(m);
		return r;
	}
	for (char *line = data ? strtok_r(data, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		take_line(m, line);
	*ret = m;
	return 0;
}

void br_logs_marks_close(struct br_logs_marks *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->lock);
	free(m->path);
	free(m);
}

uint64_t br_logs_marks_last(const struct br_logs_marks *m)
{
	uint64_t last = 0;

	for (size_t i = 0; i < m->n; i++)
		last = m->v[i].seq > last ? m->v[i].seq : last;
	return last;
}

static int save(const struct br_logs_marks *m, struct br_error *err)
{
	struct br_text t = BR_TEXT_NULL;
	int r;

	for (size_t i = 0; i < m->n; i++)
		br_text_addf(&t, "%" PRIu64 " %" PRIu64 " %s\n", m->v[i].wall_ns, m->v[i].seq, m->v[i].name);
	r = t.failed ? br_error_set(err, ENOMEM, "out of memory") : br_file_write(m->path, t.buf ? t.buf : "", t.len, 0640, err);
	br_text_done(&t);
	return r;
}

static size_t find(const struct br_logs_marks *m, const char *name)
{
	size_t i = 0;

	while (i < m->n && strcmp(m->v[i].name, name) != 0)
		i++;
	return i;
}

static void drop(struct br_logs_marks *m, size_t i)
{
	memmove(&m->v[i], &m->v[i + 1], (--m->n - i) * sizeof(m->v[0]));
}

int br_logs_mark_set(struct br_logs *logs, const char *name, struct br_logs_mark *ret, struct br_error *err)
{
	struct br_logs_marks *m = logs->marks;
	struct br_logs_mark mark = { .wall_ns = br_wall_ns() };
	char vis[100];
	int r;

	if (!br_logs_mark_ok(name))
		return br_error_set(err, EINVAL, "mark '%s': 1 to %d letters, digits, '.', '_' and '-', beginning with a letter",
			br_vis(vis, sizeof(vis), name, strlen(name)), BR_LOGS_MARK_MAX);
	strcpy(mark.name, name);
	mark.seq = br_logs_last(logs);
	pthread_mutex_lock(&m->lock);
	if (find(m, name) < m->n)
		drop(m, find(m, name));
	else if (m->n == BR_LOGS_MARKS)
		drop(m, 0);
	m->v[m->n++] = mark;
	r = save(m, err);
	pthread_mutex_unlock(&m->lock);
	if (r >= 0)
		*ret = mark;
	return r;
}

int br_logs_mark_get(struct br_logs *logs, const char *name, struct br_logs_mark *ret)
{
	struct br_logs_marks *m = logs->marks;
	size_t i;

	pthread_mutex_lock(&m->lock);
	i = find(m, name);
	if (i < m->n)
		*ret = m->v[i];
	i = i < m->n;
	pthread_mutex_unlock(&m->lock);
	return i ? 0 : -ENOENT;
}

int br_logs_marks(struct br_logs *logs, struct br_logs_mark **ret, size_t *ret_n)
{
	struct br_logs_marks *m = logs->marks;
	struct br_logs_mark *copy;

	pthread_mutex_lock(&m->lock);
	copy = malloc((m->n + 1) * sizeof(*copy));
	if (copy) {
		memcpy(copy, m->v, m->n * sizeof(*copy));
		*ret_n = m->n;
		*ret = copy;
	}
	pthread_mutex_unlock(&m->lock);
	return copy ? 0 : -ENOMEM;
}

int br_logs_mark_remove(struct br_logs *logs, const char *name, struct br_error *err)
{
	struct br_logs_marks *m = logs->marks;
	char vis[100];
	size_t i;
	int r;

	pthread_mutex_lock(&m->lock);
	i = find(m, name);
	if (i < m->n) {
		drop(m, i);
		r = save(m, err);
	} else {
		r = br_error_set(err, ENOENT, "no mark is named '%s'; 'bramble log marks' shows them",
			br_vis(vis, sizeof(vis), name, strlen(name)));
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}
