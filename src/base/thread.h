/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>

/*
 * Threads without the rights that a service manager lent the process for its ports: what they read comes from the network.
 * Linux keeps capabilities by thread and hands them on, so each gives them up itself, before anything else. A process of
 * root's keeps them here: it gives root up for all threads at once, later (daemon/privileges.h).
 */

/* As pthread_create(), without attributes: 0 or a positive errno. */
int br_thread_start(pthread_t *ret, void *(*fn)(void *arg), void *arg);
/* Calls fn in such a thread, and waits for its end: for libraries whose own threads are to be like it. 0 or a positive errno:
 * then fn was not called. */
int br_thread_call(void (*fn)(void *arg), void *arg);
