/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/thread.h"

struct br_nfs_jobs {
	pthread_mutex_t lock;
	pthread_cond_t some; /* jobs, or the end */
	struct br_nfs_job *first, **last;
	unsigned n_idle, n_queued, n_threads, max;
	bool ending;
	pthread_t threads[];
};

struct br_nfs_jobs *br_nfs_jobs_new(unsigned max_threads)
{
	struct br_nfs_jobs *jobs = calloc(1, sizeof(*jobs) + max_threads * sizeof(jobs->threads[0]));

	if (!jobs)
		return NULL;
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->some, NULL);
	jobs->last = &jobs->first;
	jobs->max = max_threads;
	return jobs;
}

static struct br_nfs_job *take(struct br_nfs_jobs *jobs)
{
	struct br_nfs_job *job = jobs->first;

	if (!job)
		return NULL;
	jobs->first = job->next;
	if (!jobs->first)
		jobs->last = &jobs->first;
	jobs->n_queued--;
	return job;
}

static void *work(void *ctx)
{
	struct br_nfs_jobs *jobs = ctx;
	struct br_nfs_job *job;

	pthread_mutex_lock(&jobs->lock);
	for (;;) {
		job = take(jobs);
		if (job) {
			pthread_mutex_unlock(&jobs->lock);
			job->run(job);
			pthread_mutex_lock(&jobs->lock);
			continue;
		}
		if (jobs->ending)
			break;
		jobs->n_idle++;
		pthread_cond_wait(&jobs->some, &jobs->lock);
		jobs->n_idle--;
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

/* Signals are the main thread's. */
static int start_thread(struct br_nfs_jobs *jobs)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = br_thread_start(&jobs->threads[jobs->n_threads], work, jobs);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		jobs->n_threads++;
	return r;
}

void br_nfs_jobs_push(struct br_nfs_jobs *jobs, struct br_nfs_job *job)
{
	bool alone = false;

	pthread_mutex_lock(&jobs->lock);
	if (jobs->n_queued >= jobs->n_idle && jobs->n_threads < jobs->max && start_thread(jobs) != 0)
		alone = jobs->n_threads == 0;
	if (!alone) {
		job->next = NULL;
		*jobs->last = job;
		jobs->last = &job->next;
		jobs->n_queued++;
		pthread_cond_signal(&jobs->some);
	}
	pthread_mutex_unlock(&jobs->lock);
	if (alone)
		job->run(job);
}

void br_nfs_jobs_free(struct br_nfs_jobs *jobs)
{
	if (!jobs)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->ending = true;
	pthread_cond_broadcast(&jobs->some);
	pthread_mutex_unlock(&jobs->lock);
	for (unsigned i = 0; i < jobs->n_threads; i++)
		pthread_join(jobs->threads[i], NULL);
	pthread_mutex_destroy(&jobs->lock);
	pthread_cond_destroy(&jobs->some);
	free(jobs);
}
