/*
 * A transform in C, for the tests: it echoes, fails, counts what is not released, and lies in
 * every way that a host can see. Nothing here knows of Rust.
 */
#include <stdatomic.h>
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
  "   {\"name\": \"lie\", \"arguments\": [\"int32\"], \"returns\": \"text\"}]}"
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
    default: code = LAKE_INVALID_CALL;
  }
  if (arguments->release) arguments->release(arguments);
  if (arguments_schema->release) arguments_schema->release(arguments_schema);
  return code;
}

static const struct LakePlugin plugin = {
    .size = SIZE,
    .version = VERSION,
    .describe = describe,
#ifndef NO_SCALARS
    .call_scalar = call_scalar,
#endif
};

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
