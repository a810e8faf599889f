/* SPDX-License-Identifier: Apache-2.0 */
/* From the words of a command to boards' names. */
#include "cli/boardnames.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "api/client.h"
#include "base/cleanup.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "fleet/selector.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

int br_cli_board_names(const char *state, const char *text, char ***ret, size_t *ret_n, struct br_error *err)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *boards = NULL;
	br_cleanup(br_freep) char *words = br_client_escape(text);
	br_cleanup(br_freep) char *path = words ? br_asprintf("/v1/boards?names=%s", words) : NULL;
	struct br_text list = BR_TEXT_NULL;
	const json_t *b;
	size_t i;
	int r;

	if (!br_selector_is(text))
		return br_hostlist_expand(text, ret, ret_n, err);
	r = path ? br_client_new(state, &client, err) : br_error_set(err, ENOMEM, "out of memory");
	if (r >= 0)
		r = br_client_call(client, "GET", path, NULL, &boards, err);
	if (r < 0 || !json_array_size(boards))
		return r;
	json_array_foreach(boards, i, b)
		br_text_addf(&list, "%s%s", i ? "," : "", json_string_value(json_object_get(b, "name")) ?: "");
	r = list.failed ? br_error_set(err, ENOMEM, "out of memory") : br_hostlist_expand(list.buf, ret, ret_n, err);
	br_text_done(&list);
	return r;
}
