#!/bin/bash
# Stands for curl and tidegate while examples run: keeps what was asked and answered, and fails where a reader would see an
# error. What reads is asked again until its answer is not empty: some tables follow a moment after what was sent.
set -u
name=$(basename "$0")
at="$RECORD/$BLOCK.$(date +%s%N)"
printf '%s %s' "$name" "$*" > "$at.asked"
case $name in
  curl) real=(curl --fail-with-body) ;;
  *) real=("$TIDEGATE") ;;
esac
reads() {
  case $name in
    # By their name alone: what is sent has a body.
    curl) for word in "$@"; do case $word in -d|--data*|-T|-X|-s*N*) return 1 ;; esac; done ;;
    *) case "${2-}" in list | status) return 0 ;; esac; [ "${1-}" = query ] || [ "${1-}" = audit ] ;;
  esac
}
is_empty() {
  local head
  head=$(head -c 300 "$at.out" | tr -d ' \n')
  case $head in
    '' | '[]' | *'"data":[]'* | *'"events":[]'*) return 0 ;;
    '{'* | '['*) return 1 ;;
  esac
  # A table with its head and nothing more.
  [ "$(wc -l < "$at.out")" -lt 2 ]
}
while :; do
  # What hangs is ended.
  PATH=$REAL_PATH timeout 600 "${real[@]}" "$@" > "$at.out"
  code=$?
  if [ $code -ne 0 ] || ! reads "$@"; then break; fi
  if ! is_empty; then break; fi
  while IFS= read -r words; do case "$name $*" in *"${words:-nothing}"*) break 2 ;; esac; done <<< "$EMPTY"
  if [ $SECONDS -ge "$PATIENCE" ]; then mv "$at.out" "$at.empty"; exit 0; fi
  sleep 0.2
done
cat "$at.out"
exit $code
