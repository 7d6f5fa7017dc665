/*
 * A transform in C, for the tests: it echoes, fails, counts what is not released, and lies in
 * every way that a host can see. Nothing here knows of Rust.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lake_plugin.h"

#ifndef VERSION
#define VERSION LAKE_PLUGIN_VERSION
#endif

#ifndef SIZE
#define SIZE sizeof(struct LakePlugin)
#endif

#ifndef DECLARATION
#define DECLARATION                                                                               \
  "{\"name\": \"c\", \"sdk\": \"none\","                                                          \
  " \"inputs\": [{\"name\": \"a\", \"format\": {\"csv\": {\"header\": true}},"                    \
  "   \"columns\": [{\"name\": \"b\", \"type\": \"text\"}]}],"                                    \
  " \"tables\": [{\"zone\": \"standard\", \"name\": \"a\", \"sql\": \"SELECT b FROM a\"}],"       \
  " \"functions\": [{\"name\": \"same\", \"arguments\": [\"text\"], \"returns\": \"text\"},"      \
  "   {\"name\": \"held\", \"returns\": \"int64\"},"                                              \
  "   {\"name\": \"lie\", \"arguments\": [\"int32\"], \"returns\": \"text\"},"                     \
  "   {\"name\": \"nothing\", \"arguments\": [\"text\"], \"returns\": \"text\","                   \
  "    \"required\": true, \"overloads\": [{\"returns\": \"text\", \"required\": true},"         \
  "     {\"arguments\": [\"int64\"], \"returns\": \"text\"}]}],"                                  \
  " \"partition_functions\": [{\"name\": \"counts\","                                           \
  "   \"columns\": [{\"name\": \"b\", \"type\": \"text\"}], \"key\": [\"b\"],"                  \
  "   \"arguments\": [\"int32\"], \"returns\": [{\"name\": \"n\", \"type\": \"int64\"}]}]}"
#endif

/* How many things of ours the host has not released yet. */
static atomic_long held;

/* Everything that an array owns: what was moved into it, and its buffers. */
struct Owned {
  struct ArrowArray moved;
  const void *buffers[3];
  void *memory[3];
};

static void release_array(struct ArrowArray *array) {
  struct Owned *owned = array->private_data;
  if (owned->moved.release) owned->moved.release(&owned->moved);
  for (int i = 0; i < 3; i++) free(owned->memory[i]);
  free(owned);
  array->release = NULL;
  held--;
}

static void release_schema(struct ArrowSchema *schema) {
  schema->release = NULL;
  held--;
}

static void release_string(struct LakeString *string) {
  free(string->private_data);
  string->release = NULL;
  held--;
}

static struct LakeString string_of(const char *text) {
  char *copy = malloc(strlen(text) + 1);
  strcpy(copy, text);
  held++;
  return (struct LakeString){copy, strlen(text), release_string, copy};
}

/* An array without values yet, that owns what it will get. */
static struct Owned *begin(struct ArrowArray *array, struct ArrowSchema *schema, int64_t length,
                           const char *format, int64_t n_buffers) {
  struct Owned *owned = calloc(1, sizeof *owned);
  *array = (struct ArrowArray){.length = length,
                               .n_buffers = n_buffers,
                               .buffers = owned->buffers,
                               .release = release_array,
                               .private_data = owned};
  *schema = (struct ArrowSchema){
      .format = format, .flags = ARROW_FLAG_NULLABLE, .release = release_schema};
  held += 2;
  return owned;
}

static void *buffer(struct Owned *owned, int place, size_t bytes) {
  owned->memory[place] = calloc(1, bytes + 8);
  owned->buffers[place] = owned->memory[place];
  return owned->memory[place];
}

static int32_t describe(void *context, const struct LakeHost *host, struct LakeString *declaration,
                        struct LakeError *error) {
  (void)context, (void)host;
#ifdef DESCRIBE_FAILS
  (void)declaration;
  error->message = string_of("out of ideas");
  return error->code = LAKE_FAILED;
#elif defined(DESCRIBE_NOWHERE)
  (void)error;
  declaration->length = 12;
  return LAKE_OK;
#else
  (void)error;
  *declaration = string_of(DECLARATION);
  return LAKE_OK;
#endif
}

/* Gives the argument back: its memory is moved into the result. */
static void same(struct ArrowArray *arguments, struct ArrowArray *result,
                 struct ArrowSchema *schema) {
  struct ArrowArray *text = arguments->children[0];
  struct Owned *owned = begin(result, schema, text->length, "u", 3);
  result->offset = text->offset;
  result->null_count = text->null_count;
  for (int i = 0; i < 3; i++) owned->buffers[i] = text->buffers[i];
  owned->moved = *arguments;
  arguments->release = NULL;
}

/* The same number for each row. */
static void number(int64_t value, int64_t rows, struct ArrowArray *result,
                   struct ArrowSchema *schema) {
  struct Owned *owned = begin(result, schema, rows, "l", 2);
  int64_t *values = buffer(owned, 1, 8 * (size_t)rows);
  for (int64_t i = 0; i < rows; i++) values[i] = value;
}

/* "ab" and "cd", told in the way that `lie` says. */
static int32_t lie(int32_t lie, struct ArrowArray *result, struct ArrowSchema *schema,
                   struct LakeError *error) {
  struct Owned *owned = begin(result, schema, 2, "u", 3);
  char *validity = buffer(owned, 0, 1);
  int32_t *offsets = buffer(owned, 1, 16);
  char *text = buffer(owned, 2, 4);
  validity[0] = 3;
  offsets[1] = 2, offsets[2] = 4;
  memcpy(text, "abcd", 4);
  switch (lie) {
    case 1: schema->format = "l"; break;
    case 2: schema->release(schema); break;
    case 3: result->release(result); break;
    case 4: result->length = 1; break;
    case 5: result->length = -1; break;
    case 6: result->offset = -1; break;
    case 7: result->offset = INT64_MAX; break;
    case 8: result->null_count = 3; break;
    case 9: owned->buffers[0] = NULL; result->null_count = 1; break;
    case 10: result->n_buffers = 2; break;
    case 11: result->buffers = NULL; break;
    case 12: owned->buffers[1] = NULL; break;
    case 13: owned->buffers[2] = NULL; break;
    case 14: offsets[0] = 3; offsets[1] = 1; break;
    case 15: offsets[2] = -4; break;
    case 16: text[1] = (char)0xff; break;
    case 17: validity[0] = 1; break;
    case 18: schema->dictionary = schema; break;
    case 19: result->n_children = 1; break;
    case 20: memmove((char *)offsets + 1, offsets, 12); owned->buffers[1] = (char *)offsets + 1; break;
    case 21: schema->format = NULL; break;
    case 22: offsets[1] = 5; break;
    case 23: result->null_count = -2; break;
    case 24: result->dictionary = result; break;
    case 25: error->message = string_of("changed its mind"); return LAKE_FAILED;
    case 26: return 77;
    case 27: text[1] = (char)0xc3; text[2] = (char)0xa4; break;
    default: break;
  }
  return LAKE_OK;
}

/* Text that is NULL in every row. */
static void nothing(int64_t rows, struct ArrowArray *result, struct ArrowSchema *schema) {
  struct Owned *owned = begin(result, schema, rows, "u", 3);
  buffer(owned, 0, rows / 8 + 1);
  buffer(owned, 1, (rows + 1) * sizeof(int32_t));
  buffer(owned, 2, 0);
  result->null_count = rows;
}

static int32_t call_scalar(void *context, const struct LakeHost *host, uint64_t function,
                           struct ArrowArray *arguments, struct ArrowSchema *arguments_schema,
                           struct ArrowArray *result, struct ArrowSchema *result_schema,
                           struct LakeError *error) {
  (void)context;
  int32_t code = LAKE_OK;
  if (host && host->size >= sizeof *host && host->log) {
    host->log(host->context, LAKE_LOG_INFO, "from C", 6);
    host->metric(host->context, "calls", 5, 1.0);
    if (host->cancelled(host->context)) code = LAKE_CANCELLED;
  }
  int64_t rows = arguments->length;
  if (code == LAKE_OK) switch (function) {
    case 0: same(arguments, result, result_schema); break;
    case 1: number(held, rows, result, result_schema); break;
    case 2: {
      const int32_t *which = arguments->children[0]->buffers[1];
      code = lie(which[arguments->children[0]->offset], result, result_schema, error);
      break;
    }
    case 3: nothing(rows, result, result_schema); break;
    default: code = LAKE_INVALID_CALL;
  }
  if (arguments->release) arguments->release(arguments);
  if (arguments_schema->release) arguments_schema->release(arguments_schema);
  return code;
}

/*
 * A partition function: how many rows each key has, emitted when the key ends. Its constant says
 * which lie to tell: in a push one of 1 to 14, in finish 20, in open 30.
 */
struct Counts {
  int32_t which;
  int64_t key; /* the ordinal of the key that the stream is at, -1 before the first */
  int64_t rows;
};

/* What was emitted, and all that it points to. */
struct Emitted {
  struct ArrowArray children[2], *child[2];
  const void *buffers[3][2];
  int64_t *values[2];
  unsigned char validity[64];
};

static void release_child(struct ArrowArray *child) { child->release = NULL; }

static void release_emitted(struct ArrowArray *array) {
  struct Emitted *emitted = array->private_data;
  for (int i = 0; i < 2; i++) {
    if (emitted->children[i].release) emitted->children[i].release(&emitted->children[i]);
    free(emitted->values[i]);
  }
  free(emitted);
  array->release = NULL;
  held--;
}

static void release_child_schema(struct ArrowSchema *child) { child->release = NULL; }

struct EmittedSchema {
  struct ArrowSchema children[2], *child[2];
};

static void release_emitted_schema(struct ArrowSchema *schema) {
  free(schema->private_data);
  schema->release = NULL;
  held--;
}

/* Room for so many rows of a key and a number. */
static struct Emitted *emit(int64_t rows, struct ArrowArray *out, struct ArrowSchema *schema) {
  struct Emitted *emitted = calloc(1, sizeof *emitted);
  struct EmittedSchema *types = calloc(1, sizeof *types);
  for (int i = 0; i < 2; i++) {
    emitted->values[i] = calloc(rows + 1, sizeof(int64_t));
    emitted->buffers[i][1] = emitted->values[i];
    emitted->children[i] = (struct ArrowArray){
        .length = rows, .n_buffers = 2, .buffers = emitted->buffers[i], .release = release_child};
    emitted->child[i] = &emitted->children[i];
    types->children[i] = (struct ArrowSchema){
        .format = "l", .name = i ? "n" : "key", .release = release_child_schema};
    types->child[i] = &types->children[i];
  }
  *out = (struct ArrowArray){.length = rows,
                             .n_buffers = 1,
                             .n_children = 2,
                             .buffers = emitted->buffers[2],
                             .children = emitted->child,
                             .release = release_emitted,
                             .private_data = emitted};
  *schema = (struct ArrowSchema){.format = "+s",
                                 .n_children = 2,
                                 .children = types->child,
                                 .release = release_emitted_schema,
                                 .private_data = types};
  held += 2;
  return emitted;
}

static int32_t partition_open(void *context, const struct LakeHost *host, uint64_t function,
                              struct ArrowArray *arguments, struct ArrowSchema *arguments_schema,
                              void **stream, struct LakeError *error) {
  (void)context, (void)host;
  const int32_t *which = arguments->children[0]->buffers[1];
  int32_t lie = which[arguments->children[0]->offset];
  arguments->release(arguments);
  arguments_schema->release(arguments_schema);
  if (function != 0) return LAKE_INVALID_CALL;
  if (lie == 30) {
    error->message = string_of("not today");
    return LAKE_FAILED;
  }
  struct Counts *counts = calloc(1, sizeof *counts);
  *counts = (struct Counts){.which = lie, .key = -1};
  *stream = counts;
  held++;
  return LAKE_OK;
}

static int32_t partition_push(void *context, const struct LakeHost *host, void *stream,
                              struct ArrowArray *rows, struct ArrowSchema *rows_schema,
                              const uint64_t *starts, uint64_t n_starts, struct ArrowArray *out,
                              struct ArrowSchema *out_schema, struct LakeError *error) {
  (void)context;
  struct Counts *counts = stream;
  if (host->cancelled(host->context)) return LAKE_CANCELLED; /* and leave the rows to the host */
  int64_t length = rows->length;
  rows->release(rows);
  rows_schema->release(rows_schema);
  if (counts->which == 13) {
    error->message = string_of("row 2 is odd");
    return LAKE_FAILED;
  }
  if (counts->which == 11) return LAKE_OK;
  struct Emitted *emitted = emit(n_starts, out, out_schema);
  int64_t *keys = emitted->values[0], *numbers = emitted->values[1];
  int64_t ended = 0, from = 0;
  for (uint64_t i = 0; i < n_starts; i++) {
    if (counts->key >= 0) {
      keys[ended] = counts->key;
      numbers[ended++] = counts->rows + (int64_t)starts[i] - from;
    }
    from = (int64_t)starts[i];
    counts->key++;
    counts->rows = 0;
  }
  counts->rows += length - from;
  out->length = emitted->children[0].length = emitted->children[1].length = ended;
  if (ended) switch (counts->which) {
    case 1: keys[0] = counts->key + 1; break;
    case 2: keys[0] = -1; break;
    case 3: keys[0] = counts->key; keys[1] = 0; break;
    case 4: emitted->buffers[0][0] = emitted->validity; emitted->children[0].null_count = ended; break;
    case 5: out_schema->children[1]->format = "i"; break;
    case 6: out->n_children = 1; break;
    case 7: emitted->children[1].length = 0; break;
    case 8: emitted->buffers[2][0] = emitted->validity; out->null_count = ended; break;
    case 9: out->length = -1; break;
    case 10: out_schema->release(out_schema); break;
    case 12: emitted->buffers[1][0] = emitted->validity; break;
    case 14: keys[0] = counts->key - 2; break;
    default: break;
  }
  return LAKE_OK;
}

static int32_t partition_finish(void *context, const struct LakeHost *host, void *stream,
                                struct ArrowArray *out, struct ArrowSchema *out_schema,
                                struct LakeError *error) {
  (void)context, (void)host, (void)error;
  struct Counts *counts = stream;
  struct Emitted *emitted = emit(1, out, out_schema);
  emitted->values[0][0] = counts->which == 20 ? counts->key - 1 : counts->key;
  emitted->values[1][0] = counts->rows;
  return LAKE_OK;
}

static void partition_close(void *context, void *stream) {
  (void)context;
  free(stream);
  held--;
}

static const struct LakePlugin plugin = {
    .size = SIZE,
    .version = VERSION,
    .describe = describe,
#ifndef NO_SCALARS
    .call_scalar = call_scalar,
#endif
    .partition_open = partition_open,
    .partition_push = partition_push,
#ifndef NO_FINISH
    .partition_finish = partition_finish,
#endif
    .partition_close = partition_close,
};

#ifdef NO_FINISH
/* Used after all, so that the compiler keeps quiet. */
void *lake_test_finish(void);
void *lake_test_finish(void) { return (void *)(intptr_t)partition_finish; }
#endif

#ifdef NO_SCALARS
/* Used after all, so that the compiler keeps quiet. */
void *lake_test_unused(void);
void *lake_test_unused(void) { return (void *)(intptr_t)call_scalar; }
#endif

#ifndef NO_TABLE
const struct LakePlugin *lake_plugin_v1(void) { return &plugin; }
#else
const struct LakePlugin *lake_plugin_v1(void) { return VERSION == 0 ? &plugin : NULL; }
#endif
