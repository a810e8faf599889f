/* SPDX-License-Identifier: Apache-2.0 */
/* EEPROM images as files. */
#include "cli/eepromfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/signout.h"
#include "cli/table.h"
#include "pi/findings.h"

#define FILE_MAX_ (64u << 20)

int br_cli_eeprom_load(const char *path, struct br_eeprom *ret)
{
	br_cleanup(br_freep) char *data = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t len;
	int r = br_file_read(path, FILE_MAX_, &data, &len, &err);

	if (r < 0)
		return br_cli_error(&err, r);
	r = br_eeprom_open(data, len, ret, &err);
	if (r < 0) {
		br_error_prefix(&err, "%s", path);
		return br_cli_error(&err, r);
	}
	return 0;
}

int br_cli_eeprom_target(const struct br_eeprom_target *t)
{
	if (t->out && t->in_place)
		return br_cli_usage("--out and --in-place exclude each other");
	if (!t->out && !t->in_place)
		return br_cli_usage("where should the result go? --out FILE, or --in-place");
	return 0;
}

int br_cli_eeprom_may_write(const struct br_eeprom_target *t, const char *const *inputs, size_t n)
{
	struct br_error err = BR_ERROR_NULL;
	int r = t->in_place ? 0 : br_sign_may_write(t->out, BR_SIGN_ANY, inputs, n, &err);

	return r < 0 ? br_cli_error(&err, r) : 0;
}

int br_cli_eeprom_save(const struct br_eeprom_target *t, const struct br_eeprom *e)
{
	const char *path = t->in_place ? t->file : t->out;
	br_cleanup(br_freep) char *real = realpath(path, NULL);
	struct br_error err = BR_ERROR_NULL;
	struct stat st;
	mode_t mode = 0644;
	int r;

	if (real && stat(real, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return br_cli_fail(BR_EXIT_FAILED, "%s: is no ordinary file; an image is written to a file", path);
		mode = st.st_mode & 0777;
	}
	r = br_file_write(real ? real : path, e->data, e->len, mode, &err);
	return r < 0 ? br_cli_error(&err, r) : 0;
}

static bool contains(const struct br_findings *f, const struct br_finding *one)
{
	for (size_t i = 0; f && i < f->n; i++) {
		if (f->list[i].severity == one->severity && !strcmp(f->list[i].text, one->text))
			return true;
	}
	return false;
}

size_t br_cli_eeprom_print_findings(const char *file, const struct br_findings *before, const struct br_findings *after, bool quiet)
{
	size_t errors = 0;

	for (size_t i = 0; i < after->n; i++) {
		const struct br_finding *one = &after->list[i];

		if (contains(before, one))
			continue;
		errors += one->severity == BR_FINDING_ERROR;
		if (quiet && one->severity != BR_FINDING_ERROR)
			continue;
		fprintf(stderr, "%s: ", file);
		if (one->line)
			fprintf(stderr, "bootconf.txt line %u: ", one->line);
		fprintf(stderr, "%s: %s%s%s\n", br_severity_name(one->severity), one->text, one->cure ? ". Cure: " : "", one->cure ? one->cure : "");
	}
	return errors;
}

int br_cli_eeprom_chip(const char *word, enum br_soc *ret)
{
	const struct br_pi_model *model = br_pi_model_by_id(word);
	const char *number = !strncasecmp(word, "bcm", 3) ? word + 3 : word;

	if (!strcmp(number, "2711"))
		*ret = BR_SOC_BCM2711;
	else if (!strcmp(number, "2712"))
		*ret = BR_SOC_BCM2712;
	else if (model && (model->soc == BR_SOC_BCM2711 || model->soc == BR_SOC_BCM2712))
		*ret = model->soc;
	else
		return br_cli_usage("the chip is 2711 (Pi 4, 400, CM4) or 2712 (Pi 5, 500, CM5)");
	return 0;
}
