/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a request by TCP. Input: lines of Host, Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Authorization, Last-Event-ID. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/guard.h"
#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *const names[] = { "lab", NULL };

static void check(const struct br_guard_head *head, const char *authorization, const char *id)
{
	char token[BR_TOKEN_TEXT] = "";
	unsigned long long epoch, n;
	struct br_error err;
	int r = br_guard_check(head, names, &err);

	/* who comes from elsewhere gets nothing but the page itself */
	if (!r && !head->page && head->fetch_site && !strcmp(head->fetch_site, "cross-site"))
		abort();
	if (!r && !br_guard_host_ok(head->host, names))
		abort();
	if (br_guard_bearer(authorization, token) == 1 && (strlen(token) != BR_TOKEN_TEXT - 1 || strncmp(token, BR_TOKEN_PREFIX, 4) != 0))
		abort();
	if (id && !br_guard_event_id(id, &epoch, &n) && !strchr(id, '-'))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = calloc(1, len + 1), *lines[6] = { 0 }, *at = text;
	struct br_guard_head head;

	if (!text)
		return 0;
	if (len)
		memcpy(text, data, len);
	for (size_t i = 0; i < BR_ARRAY_SIZE(lines) && at; i++) {
		char *end = strchr(at, '\n');

		if (end)
			*end = 0;
		lines[i] = *at ? at : NULL;
		at = end ? end + 1 : NULL;
	}
	head = (struct br_guard_head){ .host = lines[0], .origin = lines[1], .fetch_site = lines[2], .fetch_mode = lines[3] };
	check(&head, lines[4], lines[5]);
	head.page = head.tls = true;
	check(&head, lines[4], lines[5]);
	free(text);
	return 0;
}
