# What uses the GPUs, in one round trip. Reads only. Run as: sh -s -- MARK
#
# nvidia-smi can hang in the kernel where no signal reaches it. So it runs beside this script, is waited
# for by the clock and then left behind; and while one that was left behind is still there, no other one is
# started. POSIX sh, for dash and busybox alike.

LC_ALL=C
export LC_ALL
set -f
mark=$1
folder=${HOME:-/nonexistent}/.watchdogd
left=$folder/nvidia-smi.pid

still_there() {
  read -r old <"$left" && [ -n "$old" ] && read -r name <"/proc/$old/comm" && [ "$name" = nvidia-smi ]
}

# ask FILE ARGUMENTS...: 0 = it ended well within 8 s; its output is in FILE
ask() {
  file=$1
  shift
  rm -f "$file.status"
  (
    nvidia-smi "$@" --format=csv,noheader,nounits >"$file" 2>&1 &
    echo "$!" >"$left"
    wait "$!"
    echo "$?" >"$file.status"
  ) </dev/null >/dev/null 2>&1 &
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32; do
    if [ -s "$file.status" ]; then
      read -r status <"$file.status"
      return "$status"
    fi
    sleep 0.25 || sleep 1
  done
  read -r asked <"$left" && kill -9 "$asked"
  return 124
}

gpus() {
  command -v nvidia-smi >/dev/null || { echo tool=none; return; }
  umask 077
  mkdir -p "$folder"
  still_there && { echo tool=failed; return; }
  told=$(mktemp) || { echo tool=failed; return; }
  ask "$told" --query-gpu=index,uuid,utilization.gpu,memory.used,memory.total
  case $? in
    0) tool=ok ;;
    *) tool=failed ;;
  esac
  while IFS= read -r line; do
    case $line in *"Driver/library version mismatch"*) tool=mismatch ;; esac
    [ "$tool" = ok ] && echo "gpu=$line"
  done <"$told"
  if [ "$tool" = ok ]; then
    if ask "$told" --query-compute-apps=gpu_uuid,pid; then
      while IFS= read -r line; do echo "process=$line"; done <"$told"
    else
      tool=failed
    fi
  fi
  rm -f "$told" "$told.status"
  echo "tool=$tool"
}

printf '\n%s\n' "$mark"
gpus 2>/dev/null
printf '\n%s\n' "$mark"
