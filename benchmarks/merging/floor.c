/* The least that adding up histograms of ROOT files can cost: read every record, inflate it, turn the bytes of its
 * numbers round, add. It checks nothing, knows TH1D with errors in ZLIB only, takes for granted that all files hold the
 * same records in the same order, and writes no file: it prints sums, with which the runner sees that it did the work.
 *
 *   cc -O3 -march=native -o floor floor.c -lz && ./floor FILE...
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { STATISTICS = 5, LARGEST = 1 << 16 };

static double *sums;
static size_t size, used;
static unsigned char payload[LARGEST];

static uint32_t u32(const unsigned char *at)
{
   return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void add(double *to, const unsigned char *from, size_t count)
{
   for (size_t i = 0; i < count; ++i) {
      uint64_t bits;
      double number;
      memcpy(&bits, from + 8 * i, 8);
      bits = __builtin_bswap64(bits);
      memcpy(&number, &bits, 8);
      to[i] += number;
   }
}

static void fail(const char *what)
{
   fprintf(stderr, "floor: %s\n", what);
   exit(1);
}

/* The payload of a TH1D ends with its cells; its squared errors and its statistics stand before them. */
static size_t add_histogram(double *to, const unsigned char *at, size_t length)
{
   for (size_t cells = 3; 8 * cells + 4 <= length; ++cells) {
      const unsigned char *content = at + length - 8 * cells;
      if (u32(content - 4) != cells)
         continue;
      const unsigned char *errors = content - 4 - 8 * cells;
      while (errors > at + 4 && u32(errors - 4) != cells)
         --errors;
      /* fEntries, fTsumw, fTsumw2, fTsumwx, fTsumwx2; then fMaximum, fMinimum, fNormFactor, and fContour without cells. */
      const unsigned char *statistics = errors - 4 - 4 - 8 * 3 - 8 * STATISTICS;
      if (statistics < at)
         fail("no statistics before the errors");
      add(to, statistics, STATISTICS);
      add(to + STATISTICS, errors, cells);
      add(to + STATISTICS + cells, content, cells);
      return STATISTICS + 2 * cells;
   }
   fail("not a histogram of doubles");
   return 0;
}

static unsigned char *read_file(const char *name, size_t *length)
{
   FILE *file = fopen(name, "rb");
   if (!file || fseek(file, 0, SEEK_END))
      fail(name);
   *length = (size_t)ftell(file);
   rewind(file);
   unsigned char *content = malloc(*length);
   if (!content || fread(content, 1, *length, file) != *length)
      fail(name);
   fclose(file);
   return content;
}

static void add_file(const char *name)
{
   size_t length, position, place = 0;
   unsigned char *content = read_file(name, &length);
   z_stream stream = {0};
   if (inflateInit(&stream) != Z_OK)
      fail("zlib");
   for (position = u32(content + 8); position + 26 < length;) {
      const unsigned char *record = content + position;
      const uint32_t bytes = u32(record), object = u32(record + 6), key = (uint32_t)record[14] << 8 | record[15];
      if (bytes == 0)
         break;
      if (bytes >> 31) { /* a gap */
         position += -(int32_t)bytes;
         continue;
      }
      if (object <= LARGEST && !memcmp(record + 26, "\4TH1D", 5)) {
         const unsigned char *start = record + key;
         if (object > bytes - key) { /* compressed: a header of 9 bytes */
            if (memcmp(start, "ZL", 2) || inflateReset(&stream) != Z_OK)
               fail("not ZLIB");
            stream.next_in = (unsigned char *)start + 9;
            stream.avail_in = bytes - key - 9;
            stream.next_out = payload;
            stream.avail_out = object;
            if (inflate(&stream, Z_FINISH) != Z_STREAM_END)
               fail("damaged");
            start = payload;
         }
         if (place + STATISTICS + object / 8 > size) {
            const size_t larger = 2 * size + STATISTICS + object;
            sums = realloc(sums, larger * sizeof *sums);
            if (!sums)
               fail("no memory");
            memset(sums + size, 0, (larger - size) * sizeof *sums);
            size = larger;
         }
         place += add_histogram(sums + place, start, object);
      }
      position += bytes;
   }
   inflateEnd(&stream);
   free(content);
   used = place;
}

int main(int count, char **names)
{
   double total = 0;
   for (int i = 1; i < count; ++i)
      add_file(names[i]);
   for (size_t i = 0; i < used; ++i)
      total += sums[i];
   printf("%zu %.17g\n", used, total);
   return 0;
}
