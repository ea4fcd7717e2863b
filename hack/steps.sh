#!/usr/bin/env bash
# Steps with times: `step NAME COMMAND…` runs a command and remembers how long it took; `steps_report` prints the table.
# Sourced by the scripts beside it.

STEPS_TABLE=""
STEPS_BEGAN=$SECONDS

step() {
  local name=$1 began=$SECONDS status=0
  shift
  printf '\n== %s\n' "$name"
  "$@" || status=$?
  local took=$((SECONDS - began)) word=ok
  [ "$status" -eq 0 ] || word="FAILED ($status)"
  printf '== %s: %s, %d s\n' "$name" "$word" "$took"
  STEPS_TABLE+=$(printf '%6d s  %-10s %s' "$took" "$word" "$name")$'\n'
  return "$status"
}

steps_report() {
  printf '\nWhat each step took:\n%s%6d s  in all\n' "$STEPS_TABLE" $((SECONDS - STEPS_BEGAN))
}
