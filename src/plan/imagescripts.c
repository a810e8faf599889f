/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/imagescripts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/text.h"

#define DIRECTORY "/boot/bramble"

struct listing {
	char names[BR_IMAGE_SCRIPTS_MAX][BR_IMAGE_SCRIPT_NAME_MAX];
	uint64_t inos[BR_IMAGE_SCRIPTS_MAX];
	size_t n;
	uint64_t cookie;
};

static int take_name(void *ctx, const struct br_fs_dirent *e)
{
	struct listing *l = ctx;

	if (l->n == BR_IMAGE_SCRIPTS_MAX)
		return 1;
	l->cookie = e->cookie;
	if (br_str_ends(e->name, ".cmd") && !br_strcpy(l->names[l->n], BR_IMAGE_SCRIPT_NAME_MAX, e->name))
		l->inos[l->n++] = e->ino;
	return 0;
}

static int list(struct br_fs *fs, uint64_t dir, struct listing *l)
{
	bool eof = false;
	int r = 0;

	while (!r && !eof && l->n < BR_IMAGE_SCRIPTS_MAX) {
		uint64_t before = l->cookie;

		r = fs->ops->readdir(fs, dir, l->cookie, take_name, l, &eof);
		if (!r && !eof && l->cookie == before)
			break; /* nothing more comes: not to be asked for ever */
	}
	return r;
}

static int read_script(struct br_fs *fs, uint64_t ino, struct br_image_script *s)
{
	struct br_fs_attr attr;
	bool eof;
	int r = fs->ops->getattr(fs, ino, &attr);

	if (r < 0)
		return r;
	if ((attr.mode & S_IFMT) != S_IFREG || !attr.size || attr.size > BR_IMAGE_SCRIPT_MAX)
		return 0;
	s->text = malloc(attr.size);
	if (!s->text)
		return -ENOMEM;
	r = fs->ops->read(fs, ino, 0, s->text, attr.size, &s->len, &eof);
	return r < 0 ? r : 1;
}

int br_image_scripts_read(struct br_fs *fs, struct br_image_scripts *ret, struct br_error *err)
{
	br_cleanup(br_freep) struct listing *l = calloc(1, sizeof(*l));
	uint64_t dir;
	int r;

	ret->n = 0;
	if (!l)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_fs_walk_follow(fs, DIRECTORY, &dir);
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0;
	if (!r)
		r = list(fs, dir, l);
	if (r == -ENOTDIR)
		return 0;
	for (size_t i = 0; r >= 0 && i < l->n; i++) {
		struct br_image_script *s = &ret->scripts[ret->n];

		*s = (struct br_image_script){ 0 };
		memcpy(s->name, l->names[i], sizeof(s->name));
		r = read_script(fs, l->inos[i], s);
		if (r > 0)
			ret->n++;
		else
			free(s->text);
	}
	return r < 0 ? br_error_set(err, -r, "its scripts in " DIRECTORY " cannot be read: %s", strerror(-r)) : 0;
}

void br_image_scripts_done(struct br_image_scripts *scripts)
{
	for (size_t i = 0; i < scripts->n; i++)
		free(scripts->scripts[i].text);
	scripts->n = 0;
}

const struct br_image_script *br_image_script_find(const struct br_image_scripts *scripts, const char *name)
{
	for (size_t i = 0; i < scripts->n; i++)
		if (!strcasecmp(scripts->scripts[i].name, name))
			return &scripts->scripts[i];
	return NULL;
}
