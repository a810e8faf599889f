/* SPDX-License-Identifier: Apache-2.0 */
/* A .sig file out of bytes: what is taken is written, and read again the same. */
#include <stdlib.h>
#include <string.h>

#include "pi/sigfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_text out = BR_TEXT_NULL;
	struct br_sigfile sig, again;

	if (br_sigfile_parse((const char *)data, size, &sig, &err) < 0) {
		check(err.text[0]);
		return 0;
	}
	br_sigfile_write(&sig, &out);
	if (out.failed)
		return 0;
	check(!br_sigfile_parse(out.buf, out.len, &again, &err));
	check(!memcmp(sig.sha256, again.sha256, sizeof(sig.sha256)) && sig.has_ts == again.has_ts && sig.ts == again.ts);
	check(sig.target_soc == again.target_soc && sig.has_rsa == again.has_rsa);
	check(!memcmp(sig.rsa, again.rsa, sizeof(sig.rsa)));
	br_text_done(&out);
	return 0;
}
