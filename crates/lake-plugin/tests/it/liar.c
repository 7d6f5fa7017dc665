/*
 * A transform in C that breaks the rules of the boundary, one rule per function. What a host can
 * survive comes first; the functions after `SURVIVED` may end the process, and are called in one
 * of their own.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lake_plugin.h"

/* How many arrays and schemas of ours the host has not released yet. */
static atomic_long held;

/* Where arguments go that nobody gets back. */
static struct ArrowArray kept;

enum { TEXT_BYTES = 4096, VALUES = 128 };

/* Everything that an array owns: what was moved into it, and its buffers. */
struct Owned {
  struct ArrowArray moved;
  const void *buffers[3];
  struct ArrowArray *children[1];
  unsigned char validity[VALUES / 8];
  int64_t values[VALUES];
  int32_t offsets[VALUES + 2];
  char text[TEXT_BYTES];
};

static void release_array(struct ArrowArray *array) {
  struct Owned *owned = array->private_data;
  if (owned->moved.release) owned->moved.release(&owned->moved);
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

static struct LakeString string_of(const char *bytes, size_t length) {
  char *copy = malloc(length + 1);
  memcpy(copy, bytes, length);
  held++;
  return (struct LakeString){copy, length, release_string, copy};
}

/* A call, as every function below gets it. */
struct Call {
  const struct LakeHost *host;
  struct ArrowArray *arguments;
  struct ArrowArray *result;
  struct ArrowSchema *schema;
  struct LakeError *error;
};

/* A result of as many values as there are rows, at most `VALUES`. All of them are `value`. */
static struct Owned *integers(struct Call *call, int64_t value) {
  struct Owned *owned = calloc(1, sizeof *owned);
  owned->buffers[1] = owned->values;
  for (int i = 0; i < VALUES; i++) owned->values[i] = value;
  *call->result = (struct ArrowArray){.length = call->arguments->length,
                                      .n_buffers = 2,
                                      .buffers = owned->buffers,
                                      .release = release_array,
                                      .private_data = owned};
  *call->schema = (struct ArrowSchema){
      .format = "l", .flags = ARROW_FLAG_NULLABLE, .release = release_schema};
  held += 2;
  return owned;
}

/* The same, with empty texts. */
static struct Owned *texts(struct Call *call) {
  struct Owned *owned = integers(call, 0);
  owned->buffers[1] = owned->offsets;
  owned->buffers[2] = owned->text;
  call->result->n_buffers = 3;
  call->schema->format = "u";
  return owned;
}

static int32_t ask_held(struct Call *call) {
  integers(call, held);
  return LAKE_OK;
}

/* Text whose structs are as the 40 values of the argument say, so that a test can try everything. */
static int32_t told(struct Call *call) {
  struct ArrowArray *argument = call->arguments->children[0];
  const int64_t *say = (const int64_t *)argument->buffers[1] + argument->offset;
  struct Owned *owned = texts(call);
  call->result->length = say[0];
  call->result->null_count = say[1];
  call->result->offset = say[2];
  call->result->n_buffers = say[3];
  call->result->n_children = say[4];
  static const char *formats[] = {"u", "U", "l", "", "+s", "d:3,1", "\xff\xfe", "tsu:UTC"};
  call->schema->format = formats[say[5] & 7];
  memset(owned->validity, (int)say[7], sizeof owned->validity);
  owned->buffers[0] = owned->validity;
  for (int i = 0; i < VALUES + 2; i++) {
    owned->offsets[i] = (int32_t)say[i < 30 ? 9 + i : 39];
  }
  for (int i = 0; i < TEXT_BYTES; i++) {
    owned->text[i] = say[8] == 0 ? 'a' : say[8] == 1 ? (i & 1 ? '\xa4' : '\xc3') : '\xff';
  }
  int64_t spoil = say[6];
  for (int i = 0; i < 3; i++) {
    if (spoil & (1 << i)) owned->buffers[i] = NULL;
  }
  if (spoil & 8) call->result->buffers = NULL;
  if (spoil & 16) call->result->children = owned->children;
  if (spoil & 32) call->result->dictionary = call->result;
  if (spoil & 64) call->schema->dictionary = call->schema;
  if (spoil & 128) call->schema->n_children = 1;
  if (spoil & 1024) call->schema->format = NULL;
  if (spoil & 2048) {
    memmove((char *)owned->offsets + 1, owned->offsets, sizeof owned->offsets - 4);
    owned->buffers[1] = (char *)owned->offsets + 1;
  }
  if (spoil & 256) call->result->release(call->result);
  if (spoil & 512) call->schema->release(call->schema);
  return LAKE_OK;
}

/* Honest, if unusual: empty texts, and no bytes. */
static int32_t no_bytes(struct Call *call) {
  texts(call)->buffers[2] = NULL;
  return LAKE_OK;
}

/* Honest: takes the column out of the batch, and leaves the rest to the host. */
static int32_t takes_a_column(struct Call *call) {
  struct ArrowArray *column = call->arguments->children[0];
  struct Owned *owned = integers(call, 0);
  owned->buffers[0] = column->buffers[0];
  owned->buffers[1] = column->buffers[1];
  call->result->offset = column->offset;
  call->result->null_count = -1;
  owned->moved = *column;
  column->release = NULL;
  return LAKE_OK;
}

static int32_t keeps(struct Call *call) {
  kept = *call->arguments;
  integers(call, 0);
  call->arguments->release = NULL;
  return LAKE_OK;
}

/* Points into the argument, and neither takes nor copies it. */
static int32_t borrows(struct Call *call) {
  struct ArrowArray *column = call->arguments->children[0];
  struct Owned *owned = integers(call, 0);
  owned->buffers[1] = (const int64_t *)column->buffers[1] + column->offset;
  return LAKE_OK;
}

/* Takes the batch, and does not say so: both sides release it. */
static int32_t takes_in_secret(struct Call *call) {
  borrows(call);
  struct Owned *owned = call->result->private_data;
  owned->moved = *call->arguments;
  return LAKE_OK;
}

static int32_t heedless(struct Call *call) {
  int64_t stopped = call->host && call->host->cancelled(call->host->context);
  integers(call, stopped);
  return LAKE_OK;
}

static int32_t deserts(struct Call *call) {
  (void)call;
  return LAKE_CANCELLED;
}

static int32_t garbled(struct Call *call) {
  call->error->message = string_of("meter \xff is \xc3", 12);
  return LAKE_FAILED;
}

static int32_t silent(struct Call *call) {
  (void)call;
  return LAKE_FAILED;
}

static int32_t wordy(struct Call *call) {
  size_t length = 10 << 20;
  char *words = malloc(length);
  memset(words, 'x', length);
  call->error->message = string_of(words, length);
  free(words);
  return LAKE_FAILED;
}

static int32_t boasts(struct Call *call) {
  call->error->message = string_of("more", 4);
  call->error->message.length = UINT64_MAX;
  return LAKE_FAILED;
}

static int32_t points_nowhere(struct Call *call) {
  call->error->message.length = 1000;
  return LAKE_FAILED;
}

/* Fails, and leaves half a result. */
static int32_t half(struct Call *call) {
  integers(call, 0);
  call->schema->release(call->schema);
  return LAKE_FAILED;
}

/* Succeeds, and complains. */
static int32_t complains(struct Call *call) {
  integers(call, 1);
  call->error->code = LAKE_PANIC;
  call->error->message = string_of("it was hard", 11);
  return LAKE_OK;
}

static int32_t long_format(struct Call *call) {
  static char format[100001];
  integers(call, 0);
  memset(format, 'w', sizeof format - 1);
  call->schema->format = format;
  return LAKE_OK;
}

static void *log_from_a_thread(void *host) {
  const struct LakeHost *known = host;
  known->log(known->context, LAKE_LOG_INFO, "from a thread", 13);
  return NULL;
}

static int32_t talks(struct Call *call) {
  const struct LakeHost *host = call->host;
  pthread_t thread;
  pthread_create(&thread, NULL, log_from_a_thread, (void *)host);
  pthread_join(thread, NULL);
  host->log(host->context, 99, "\xff", 1);
  host->log(host->context, LAKE_LOG_WARN, NULL, 5);
  host->log(host->context, LAKE_LOG_WARN, "boasts", UINT64_MAX);
  host->metric(host->context, NULL, 0, 0.0 / 0.0);
  size_t length = 10 << 20;
  char *words = malloc(length);
  memset(words, 'x', length);
  host->log(host->context, LAKE_LOG_ERROR, words, length);
  free(words);
  integers(call, 0);
  return LAKE_OK;
}

/* What follows the line may end the process. */

static int32_t ends_its_thread(struct Call *call) {
  (void)call;
  pthread_exit(NULL);
}

static int32_t exits(struct Call *call) {
  (void)call;
  exit(7);
}

static int32_t aborts(struct Call *call) {
  (void)call;
  abort();
}

static int32_t writes_anywhere(struct Call *call) {
  (void)call;
  *(volatile int *)8 = 1;
  return LAKE_OK;
}

static int deeper(volatile char *above) {
  volatile char frame[4096];
  frame[0] = above[0];
  return above[0] ? 0 : deeper(frame) + frame[0];
}

static int32_t recurses(struct Call *call) {
  volatile char first[1] = {0};
  integers(call, deeper(first));
  return LAKE_OK;
}

static int32_t releases_twice(struct Call *call) {
  struct ArrowArray copy = *call->arguments;
  call->arguments->release(call->arguments);
  copy.release(&copy);
  integers(call, 0);
  return LAKE_OK;
}

static void unmap_array(struct ArrowArray *array) {
  struct Owned *owned = array->private_data;
  munmap(owned->moved.private_data, sizeof *owned);
  array->release = NULL;
}

/*
 * Releases its result, and returns it all the same. What it points to is then really gone, where
 * the memory of `free` would only belong to somebody else.
 */
static int32_t returns_the_released(struct Call *call) {
  struct Owned *owned = mmap(NULL, sizeof *owned, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  owned->moved.private_data = owned;
  owned->buffers[1] = owned->values;
  integers(call, 0);
  call->result->release(call->result);
  *call->result = (struct ArrowArray){.length = call->arguments->length,
                                      .n_buffers = 2,
                                      .buffers = owned->buffers,
                                      .release = unmap_array,
                                      .private_data = owned};
  struct ArrowArray copy = *call->result;
  copy.release(&copy);
  return LAKE_OK;
}

static int32_t too_short(struct Call *call) {
  struct Owned *owned = texts(call);
  (void)owned;
  call->result->offset = (int64_t)1 << 40;
  return LAKE_OK;
}

static int32_t blocks(struct Call *call) {
  (void)call;
  while (pause() == -1) {}
  return LAKE_OK;
}

/* Says whether it can read a secret of the process. */
static int32_t reads_secrets(struct Call *call) {
  const char *secret = getenv("LAKE_TEST_SECRET");
  integers(call, secret && strcmp(secret, "swordfish") == 0);
  return LAKE_OK;
}

typedef int32_t (*Function)(struct Call *);

static const struct {
  const char *name;
  const char *returns;
  Function function;
} functions[] = {
    {"held", "int64", ask_held},
    {"told", "text", told},
    {"no_bytes", "text", no_bytes},
    {"takes_a_column", "int64", takes_a_column},
    {"keeps", "int64", keeps},
    {"borrows", "int64", borrows},
    {"takes_in_secret", "int64", takes_in_secret},
    {"heedless", "int64", heedless},
    {"deserts", "int64", deserts},
    {"garbled", "int64", garbled},
    {"silent", "int64", silent},
    {"wordy", "int64", wordy},
    {"boasts", "int64", boasts},
    {"points_nowhere", "int64", points_nowhere},
    {"half", "int64", half},
    {"complains", "int64", complains},
    {"long_format", "int64", long_format},
    {"talks", "int64", talks},
    {"ends_its_thread", "int64", ends_its_thread},
    {"exits", "int64", exits},
    {"aborts", "int64", aborts},
    {"writes_anywhere", "int64", writes_anywhere},
    {"recurses", "int64", recurses},
    {"releases_twice", "int64", releases_twice},
    {"returns_the_released", "int64", returns_the_released},
    {"too_short", "text", too_short},
    {"blocks", "int64", blocks},
    {"reads_secrets", "int64", reads_secrets},
};

enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* Nobody releases the argument but the host, unless a function takes it. */
static int32_t call_scalar(void *context, const struct LakeHost *host, uint64_t function,
                           struct ArrowArray *arguments, struct ArrowSchema *arguments_schema,
                           struct ArrowArray *result, struct ArrowSchema *result_schema,
                           struct LakeError *error) {
  (void)context, (void)arguments_schema;
  struct Call call = {host, arguments, result, result_schema, error};
  return function < FUNCTIONS ? functions[function].function(&call) : LAKE_INVALID_CALL;
}

#ifndef EXTRA
#define EXTRA ""
#endif

static int32_t describe(void *context, const struct LakeHost *host, struct LakeString *declaration,
                        struct LakeError *error) {
  (void)context, (void)host, (void)error;
#ifdef DESCRIBE_SPACES
  /* A very long declaration: spaces, which are JSON as far as they go. */
  size_t length = DESCRIBE_SPACES;
  char *spaces = malloc(length);
  memset(spaces, ' ', length);
  *declaration = (struct LakeString){spaces, length, release_string, spaces};
  held++;
  return LAKE_OK;
#elif defined(DESCRIBE_CLAIMS)
  static const char few[] = "{}";
  *declaration = (struct LakeString){.data = few, .length = DESCRIBE_CLAIMS};
  return LAKE_OK;
#elif defined(DESCRIBE_DEEP)
  char deep[DESCRIBE_DEEP];
  memset(deep, '[', sizeof deep);
  memcpy(deep, "{\"x\":", 5);
  *declaration = string_of(deep, sizeof deep);
  return LAKE_OK;
#else
  static char text[8192];
  strcpy(text,
         "{\"name\": \"liar\", \"sdk\": \"none\"," EXTRA
         " \"inputs\": [{\"name\": \"a\", \"format\": {\"csv\": {\"header\": true}},"
         "   \"columns\": [{\"name\": \"b\", \"type\": \"text\"}]}],"
         " \"tables\": [{\"zone\": \"standard\", \"name\": \"a\", \"sql\": \"SELECT b FROM a\"}],"
         " \"functions\": [");
  for (int i = 0; i < FUNCTIONS; i++) {
    strcat(strcat(strcat(text, i ? "," : ""), "{\"name\": \""), functions[i].name);
    strcat(strcat(text, "\", \"arguments\": [\"int64\"], \"returns\": \""), functions[i].returns);
    strcat(text, "\"}");
  }
  strcat(text, "]}");
  *declaration = string_of(text, strlen(text));
  return LAKE_OK;
#endif
}

#ifndef SIZE
#define SIZE sizeof(struct LakePlugin)
#endif

static const struct LakePlugin plugin = {
    .size = SIZE,
    .version = LAKE_PLUGIN_VERSION,
    .describe = describe,
    .call_scalar = call_scalar,
};

#ifndef NO_DESCRIBE
const struct LakePlugin *lake_plugin_v1(void) { return &plugin; }
#else
const struct LakePlugin *lake_plugin_v1(void) {
  static struct LakePlugin mute;
  mute = plugin;
  mute.describe = NULL;
  return &mute;
}
#endif
