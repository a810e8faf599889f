/* SPDX-License-Identifier: Apache-2.0 */
#include "pi/eepromsign.h"

#include <errno.h>
#include <sys/uio.h>

#include "base/text.h"
#include "pi/sigfile.h"

int br_eeprom_sign_config(struct br_eeprom *e, struct br_rsakey *key, struct br_error *err)
{
	struct br_text text = BR_TEXT_NULL;
	struct br_sigfile sig = { .has_ts = true };
	struct iovec whole;
	int r = br_sigfile_time(&sig.ts, err);

	if (r < 0)
		return r;
	whole.iov_base = (void *)(uintptr_t)br_eeprom_get(e, BR_EEPROM_CONFIG, &whole.iov_len);
	if (!whole.iov_base)
		return br_error_set(err, ENOENT, "there is no bootconf.txt in it");
	r = br_rsakey_sign_file(key, &whole, 1, &sig, err);
	if (r < 0)
		return r;
	br_sigfile_write(&sig, &text);
	r = text.failed ? br_error_set(err, ENOMEM, "out of memory")
			: br_eeprom_replace(e, BR_EEPROM_CONFIG_SIG, text.buf, text.len, err);
	br_text_done(&text);
	return r < 0 ? r : br_eeprom_replace(e, BR_EEPROM_PUBKEY, br_rsakey_public(key)->bytes, BR_RSAPUB_BYTES, err);
}
