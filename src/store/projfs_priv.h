/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <string.h>

#include "store/projfs.h"

/* Inside of the projection; users include store/projfs.h. */

enum br_projfs_state {
	ABSENT,	  /* there is no such file */
	OWN,	  /* the board's, or not projected: as below */
	REPLACED, /* the image's regular file with our content */
	VIRTUAL,  /* ours alone; below it is missing, or something that we cover */
	HIDDEN,
};

struct br_projfs_entry {
	char *name;
	uint64_t dir; /* below; 0: this entry does nothing */
	uint8_t *data; /* NULL: hide; of a symlink with a NUL */
	size_t len;
	uint32_t mode, uid, gid, generation;
	struct timespec time; /* of a virtual file: that of its directory in the image, so it never changes */
	struct br_fs_attr base; /* ino 0: not in the image */
	bool removed, half;	/* half: a copy into the image's inode failed midway, it still shows the projection */
	uint64_t real;		/* the inode a virtual file was copied to; 0: none */
	uint32_t real_generation;

	enum br_projfs_state now; /* both as of the last br_projfs_look() */
	uint64_t ino;	/* what there is below, 0: nothing */
};

struct br_projfs {
	struct br_fs fs;
	struct br_fs *below;
	struct br_projfs_entry *entries;
	size_t n;
};

/* An inode number from outside, looked at. */
struct br_projfs_target {
	struct br_projfs_entry *e; /* its projection, when it shows one (REPLACED or VIRTUAL) */
	uint64_t ino;	 /* below; 0: VIRTUAL */
	uint64_t shown;	 /* the number outside */
	struct br_projfs_entry *moved; /* a virtual entry that became the real file 'ino' */
};

static inline struct br_projfs *br_projfs_of(struct br_fs *fs)
{
	return (struct br_projfs *)fs;
}

static inline bool br_projfs_is_type(uint32_t mode, uint32_t type)
{
	return (mode & S_IFMT) == type;
}

static inline uint64_t br_projfs_number(const struct br_projfs *p, const struct br_projfs_entry *e)
{
	return BR_PROJFS_INO + (uint64_t)(e - p->entries);
}

/* Finds out what an entry is just now. */
int br_projfs_look(struct br_projfs *p, struct br_projfs_entry *e);
/* The entry for a name, looked at; NULL in *ret: none, the name is as below. */
int br_projfs_find(struct br_projfs *p, uint64_t dir, const char *name, struct br_projfs_entry **ret);
/* A number from below to the one outside: a copied file keeps its virtual number as long as it lives. */
uint64_t br_projfs_outside(struct br_projfs *p, uint64_t ino);
/* -ESTALE: nobody's number. */
int br_projfs_target(struct br_projfs *p, uint64_t ino, struct br_projfs_target *ret);
/* Makes an ordinary file of what t shows; t->ino is then what to work on. */
int br_projfs_make_real(struct br_projfs *p, struct br_projfs_target *t);

extern const struct br_fs_ops br_projfs_ops;
