/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Threads for what may take long (a sync, opening a disk), so that those who answer boards never wait. Threads are
 * made when all others are busy, up to a number; they mostly sleep in the kernel, so there may be many.
 */
struct br_nfs_jobs;

struct br_nfs_job { /* embedded in what the job is about */
	struct br_nfs_job *next;
	void (*run)(struct br_nfs_job *job); /* owns it from now on */
};

/* NULL: out of memory. */
struct br_nfs_jobs *br_nfs_jobs_new(unsigned max_threads);
/* Does what was pushed so far first. */
void br_nfs_jobs_free(struct br_nfs_jobs *jobs);
/* Never fails: without any thread the job is done here. */
void br_nfs_jobs_push(struct br_nfs_jobs *jobs, struct br_nfs_job *job);
