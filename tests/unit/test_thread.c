/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that give up what a service manager lent the process. */
#include "tests/unit/test.h"

#include <linux/capability.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/thread.h"

#define NOBODY 65534

/* Permitted and effective rights of this thread; all bits set when they cannot be read. */
static uint64_t rights(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data) < 0)
		return UINT64_MAX;
	return ((uint64_t)data[1].permitted << 32 | data[0].permitted) | data[0].effective | data[0].inheritable;
}

/* As User= and AmbientCapabilities= start a program: no root, one right that every thread and child inherits. */
static bool become_service(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const uint32_t one = 1u << CAP_NET_RAW;
	const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { one, one, one }, { 0 } };

	return !prctl(PR_SET_KEEPCAPS, 1) && !setresuid(NOBODY, NOBODY, NOBODY) && !syscall(SYS_capset, &head, data) &&
	       !prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0) && rights() == one;
}

static void note_rights(void *ret)
{
	*(uint64_t *)ret = rights() | (uint64_t)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_RAW, 0, 0);
}

static void *note(void *ret)
{
	note_rights(ret);
	return ret;
}

/* In a child: 0, or which of its steps went wrong. */
static int run_service(void)
{
	uint64_t seen = UINT64_MAX;
	pthread_t thread;

	if (!become_service())
		return 10;
	if (br_thread_start(&thread, note, &seen) || pthread_join(thread, NULL) || seen)
		return 1;
	seen = UINT64_MAX;
	if (br_thread_call(note_rights, &seen) || seen)
		return 2;
	return rights() == 1u << CAP_NET_RAW ? 0 : 3; /* the first thread keeps its own */
}

static void lent_rights_are_the_first_threads_only(void **state)
{
	int status;
	pid_t pid;

	if (geteuid()) {
		print_message("skipped: only root can lend rights\n");
		skip();
	}
	pid = fork();
	if (!pid)
		_exit(run_service());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 10) {
		print_message("skipped: no ambient capabilities here\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void roots_threads_stay_like_the_first(void **state)
{
	uint64_t seen = UINT64_MAX;

	assert_int_equal(br_thread_call(note_rights, &seen), 0);
	assert_int_equal(seen, getuid() ? 0 : rights());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lent_rights_are_the_first_threads_only),
		cmocka_unit_test(roots_threads_stay_like_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
