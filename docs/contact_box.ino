// The contact box of telemed-bench: four inputs, two outputs, one serial line.
//
// For an Arduino Uno or Nano (ATmega328P, 16 MHz). Protocol: instruments/contacts/protocol.py.
//
//   inputs       D2 D3 D4 D5, with pull-up; a contact to ground is level 1
//   outputs      D8 D9, each drives a relay
//   read-back    D10 D11, with pull-up: the relay's second contact to ground is level 1
//
// Photodiode, microphone and encoder come in through comparators with open collectors.

#include <stdio.h>
#include <string.h>

const byte INPUTS = 4, OUTPUTS = 2, READ_BACK = 10;
const byte OUTPUT_PINS[OUTPUTS] = {8, 9};
const unsigned long BEAT_US = 100000UL;
const char WHO[] = "telemed-bench contact-box-1 0001 1";  // maker, model, serial number, firmware

struct Edge { unsigned long t_us; byte levels; };
const byte MOST = 64;                       // edges that wait for the serial line
volatile Edge edges[MOST];
volatile byte head = 0, tail = 0, levels = 0;
volatile unsigned int dropped = 0;

unsigned int number = 0;
unsigned long last_beat_us = 0;
char line[40];
byte length = 0;

byte inputs() { return ~(PIND >> 2) & 0x0F; }

// Any change of D2 to D5: keep the time and all levels.
ISR(PCINT2_vect) {
  const byte now = inputs();
  if (now == levels) return;
  levels = now;
  const byte next = (head + 1) % MOST;
  if (next == tail) { dropped++; return; }
  edges[head].t_us = micros();
  edges[head].levels = now;
  head = next;
}

void say(unsigned long t_us, const char *text) {
  char whole[80];
  snprintf(whole, sizeof whole, "%u %lu %s", number++, t_us, text);
  byte sum = 0;
  for (const char *c = whole; *c; c++) sum ^= *c;
  char end[6];
  snprintf(end, sizeof end, "*%02X\r\n", sum);
  Serial.print(whole);
  Serial.print(end);
}

byte readBack() {
  byte found = 0;
  for (byte n = 0; n < OUTPUTS; n++) found |= (digitalRead(READ_BACK + n) == LOW) << n;
  return found;
}

void answer(const char *id, const char *word, const char *rest) {
  char text[56];
  const unsigned long now_us = micros();
  if (!strcmp(word, "ID")) {
    snprintf(text, sizeof text, "OK %s %s", id, WHO);
  } else if (!strcmp(word, "PING")) {
    snprintf(text, sizeof text, "OK %s", id);
  } else if (!strcmp(word, "GET")) {
    snprintf(text, sizeof text, "OK %s %X %X", id, levels, readBack());
  } else if (!strcmp(word, "SET") && rest[0] >= '0' && rest[0] < '0' + OUTPUTS && rest[1] == ' ' &&
             (rest[2] == '0' || rest[2] == '1') && !rest[3]) {
    const byte n = rest[0] - '0';
    digitalWrite(OUTPUT_PINS[n], rest[2] == '1' ? HIGH : LOW);
    delay(15);                              // a relay needs up to 10 ms
    snprintf(text, sizeof text, "OK %s %u", id, (readBack() >> n) & 1);
  } else {
    snprintf(text, sizeof text, "NO %s word", id);
  }
  say(now_us, text);
}

// "<id> <word> <rest>*XX"; a line with a wrong checksum has no id to answer to.
void request() {
  char *star = strrchr(line, '*');
  if (!star) return;
  byte sum = 0;
  for (const char *c = line; c < star; c++) sum ^= *c;
  char wanted[3];
  snprintf(wanted, sizeof wanted, "%02X", sum);
  if (strcmp(star + 1, wanted)) return;
  *star = 0;
  char *id = strtok(line, " "), *word = strtok(NULL, " "), *rest = strtok(NULL, "");
  if (id && word) answer(id, word, rest ? rest : "");
}

void sendEdges() {
  static byte told = 0;
  static bool begun = false;
  if (!begun) { told = levels; begun = true; }
  while (tail != head) {
    const unsigned long t_us = edges[tail].t_us;
    const byte now = edges[tail].levels;
    tail = (tail + 1) % MOST;
    for (byte n = 0; n < INPUTS; n++) {
      if (!(((now ^ told) >> n) & 1)) continue;
      char text[12];
      snprintf(text, sizeof text, "E %u %u", n, (now >> n) & 1);
      say(t_us, text);
    }
    told = now;
  }
}

void setup() {
  Serial.begin(115200);
  for (byte n = 0; n < INPUTS; n++) pinMode(2 + n, INPUT_PULLUP);
  for (byte n = 0; n < OUTPUTS; n++) {
    pinMode(OUTPUT_PINS[n], OUTPUT);
    pinMode(READ_BACK + n, INPUT_PULLUP);
  }
  levels = inputs();
  PCMSK2 = 0x3C;                            // D2 to D5
  PCICR |= 1 << PCIE2;
}

void loop() {
  sendEdges();
  const unsigned long now_us = micros();
  if (now_us - last_beat_us >= BEAT_US) {
    last_beat_us = now_us;
    noInterrupts();
    const unsigned long t_us = micros();
    const byte now = levels;
    const unsigned int lost = dropped;
    const bool waiting = head != tail;
    interrupts();
    if (waiting) { last_beat_us = now_us - BEAT_US; return; }   // edges first: they are older
    char text[16];
    snprintf(text, sizeof text, "H %X %u", now, lost);
    say(t_us, text);
  }
  while (Serial.available()) {
    const char c = Serial.read();
    if (c == '\n') { line[length] = 0; if (length && line[length - 1] == '\r') line[length - 1] = 0;
                     request(); length = 0; }
    else if (length < sizeof line - 1) line[length++] = c;
    else length = 0;
  }
}
