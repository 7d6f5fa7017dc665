/*
 * The boundary between lake and a transform, version 1.
 *
 * A transform is a shared library that exports one symbol:
 *
 *     const struct LakePlugin *lake_plugin_v1(void);
 *
 * It returns a table of functions that stays valid, and does not change, for as long as the
 * process lives: a transform is never unloaded. Everything may be called from any thread, and
 * from several at once.
 *
 * How things grow
 *   LakePlugin, LakeHost and LakeError begin with their size in bytes, as the side that filled
 *   them in knows it, and with the version of the boundary, 1. New fields are added at the end.
 *   A reader never reads past `size`, and takes a field that is not there for NULL; it skips
 *   what comes after the fields that it knows. LakeString, and Arrow's two structs, never change.
 *
 * Who owns what
 *   1. An argument array is moved into the call. The callee releases it, or moves it out and sets
 *      `release` to NULL, before it returns, whatever it returns. This goes for the array and for
 *      its schema. The caller releases what still has a `release` afterwards. So a result may
 *      point into an argument only where the callee has moved that argument out.
 *   2. A result is moved out of the call. The caller gives space for it, in which every byte is
 *      zero; the callee fills it in on success and leaves it alone on failure. From then on it is
 *      the caller's, which calls `release` exactly once, from any thread, at any later time.
 *   3. A string, and the message of an error, is moved out in the same way. `release` may be NULL
 *      where nothing is to be released (a string constant).
 *   4. A `release` callback sets the `release` of the struct that it was given to NULL.
 *   5. LakeHost belongs to the caller, and is valid until the call returns. Do not keep it.
 *
 * What a function returns
 *   LAKE_OK, or one of the other codes, in which case it also fills in the LakeError that it was
 *   given, unless that is NULL. It does not let an exception, a panic or a longjmp out, and does
 *   not end its thread. LAKE_CANCELLED is taken for LAKE_FAILED where nobody has cancelled.
 *   A declaration has at most 64 MiB; of a message, people see the first 64 KiB.
 *
 * What is checked, and what cannot be
 *   The host compares the result's format, length, null count, number of buffers and children
 *   with what was declared, and every offset and every byte of text, before it uses it. How long
 *   a buffer really is cannot be told from outside: a transform that claims more memory than it
 *   has is a defect that no host can catch, and so is one that writes where it should not.
 *   Offsets of text are aligned to 4 bytes.
 */
#ifndef LAKE_PLUGIN_H
#define LAKE_PLUGIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The Arrow C Data Interface: https://arrow.apache.org/docs/format/CDataInterface.html */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  const char *format;
  const char *name;
  const char *metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema **children;
  struct ArrowSchema *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void **buffers;
  struct ArrowArray **children;
  struct ArrowArray *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */

/* The version of this boundary: the `version` of every struct below. */
#define LAKE_PLUGIN_VERSION 1

/* What the functions of a transform return. Any other value is taken for LAKE_FAILED. */
#define LAKE_OK 0
#define LAKE_INVALID_CALL 1 /* the caller broke a rule: no such function, other arguments */
#define LAKE_FAILED 2       /* the transform says that it cannot do it, and why */
#define LAKE_PANIC 3        /* the transform panicked; the message names the function */
#define LAKE_CANCELLED 4    /* it stopped because `cancelled` said so */

/* How much a log message matters. */
#define LAKE_LOG_ERROR 1
#define LAKE_LOG_WARN 2
#define LAKE_LOG_INFO 3
#define LAKE_LOG_DEBUG 4

/* UTF-8 text that its receiver releases. It is not terminated by a zero byte. */
struct LakeString {
  const char *data;
  uint64_t length; /* in bytes */
  void (*release)(struct LakeString *);
  void *private_data; /* for `release` */
};

/* Why a call failed. The caller sets `size` and `version`, and zeroes the rest. */
struct LakeError {
  uint32_t size;
  uint32_t version;
  int32_t code; /* as returned */
  struct LakeString message;
};

/* What the host offers to a call. A pointer to it may be NULL, and so may each function. */
struct LakeHost {
  uint32_t size;
  uint32_t version;
  void *context; /* goes into every function below */
  void (*log)(void *context, int32_t level, const char *message, uint64_t length);
  void (*metric)(void *context, const char *name, uint64_t length, double value);
  int32_t (*cancelled)(void *context); /* not 0: stop soon, and return LAKE_CANCELLED */
};

/* A transform. */
struct LakePlugin {
  uint32_t size;
  uint32_t version;
  void *context; /* goes into every function below */

  /* Gives the declaration of the transform as JSON. */
  int32_t (*describe)(void *context, const struct LakeHost *host, struct LakeString *declaration,
                      struct LakeError *error);

  /*
   * Calls a scalar function: the one at place `function`, counted from 0, in the declaration's
   * list `functions`. `arguments` is one struct array without nulls of its own, with one child per
   * argument; its length is the number of rows, also where there is no argument. Where the
   * function has overloads, the types of the children say which one is meant. The result has as
   * many values, and the declared type; where it is declared as `required`, a row without NULL
   * among its arguments has a value. May be NULL where the declaration has no `functions`.
   */
  int32_t (*call_scalar)(void *context, const struct LakeHost *host, uint64_t function,
                         struct ArrowArray *arguments, struct ArrowSchema *arguments_schema,
                         struct ArrowArray *result, struct ArrowSchema *result_schema,
                         struct LakeError *error);

  /*
   * Partition functions: all rows of a key go in, sorted, and rows come out. The four may be NULL
   * where the declaration has no `partition_functions`.
   *
   * A stream carries many keys, one after the other: a key that has ended does not come again in
   * it. The host opens as many streams as it has threads. A stream is used by one thread at a
   * time, not always the same. Its life is
   *
   *     open, push, push, ..., finish, close
   *
   * and after any call that did not return LAKE_OK, and after finish, there is only close. The
   * host may close at any time, without finish too: that is how a run that was stopped ends.
   */

  /*
   * Opens a stream through the partition function at place `function`, counted from 0, in the
   * declaration's list `partition_functions`. `arguments` is one struct array of one row, with one
   * child per argument, also where there is none. `*stream` is NULL; on success it becomes
   * whatever the transform wants back in the calls below.
   */
  int32_t (*partition_open)(void *context, const struct LakeHost *host, uint64_t function,
                            struct ArrowArray *arguments, struct ArrowSchema *arguments_schema,
                            void **stream, struct LakeError *error);

  /*
   * Gives a stream its next rows, at least one: a struct array without nulls of its own, whose
   * children are the columns that the function declares, in that order. Rows of one key come
   * together, in the declared order.
   *
   * `starts` are the positions in `rows`, ascending and each less than its length, at which a new
   * key begins; so the key before it has ended. Rows before the first start belong to the key
   * that the stream was at. The first rows of a stream begin a key, so there the first start is
   * 0. There are none where all rows belong to the key that the stream was at: `starts` may then
   * be NULL.
   *
   * `out` is what the function emits meanwhile, any number of rows, none too: a struct array
   * without nulls of its own. Its first child is the key of each row, an int64 without nulls: the
   * ordinal of the key in this stream, counted from 0 since open. It never decreases, and lies
   * between the key that the stream was at before the call and the last one that began in it. The
   * other children are the columns that the function declares as `returns`, in that order.
   */
  int32_t (*partition_push)(void *context, const struct LakeHost *host, void *stream,
                            struct ArrowArray *rows, struct ArrowSchema *rows_schema,
                            const uint64_t *starts, uint64_t n_starts, struct ArrowArray *out,
                            struct ArrowSchema *out_schema, struct LakeError *error);

  /*
   * Ends the last key of a stream; there are no more. `out` is as for push, all of it of that key.
   * A stream that never had rows is closed without this.
   */
  int32_t (*partition_finish)(void *context, const struct LakeHost *host, void *stream,
                              struct ArrowArray *out, struct ArrowSchema *out_schema,
                              struct LakeError *error);

  /* Gives a stream up: called once for each that open has returned, whatever came after. */
  void (*partition_close)(void *context, void *stream);
};

/* What a transform exports. */
const struct LakePlugin *lake_plugin_v1(void);

#ifdef __cplusplus
}
#endif

#endif /* LAKE_PLUGIN_H */
