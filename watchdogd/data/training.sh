# Signs of a training run. Reads only. Run as: sh -s -- MARK CONTAINER PROGRESS CHECKPOINTS LOG
#
#   CONTAINER    id of the container in which to look for what is not on the host, or -
#   PROGRESS     path of the progress file; CHECKPOINTS a pattern; LOG a path; each may be empty
#
# Prints key=value lines; a sign that is not there leaves its lines out. POSIX sh. The same text runs on the
# host and, by `docker exec`, in the container.

LC_ALL=C
export LC_ALL
mark=$1 container=$2
shift 2

look=$(cat <<'LOOK'
progress=$1 checkpoints=$2 log=$3
now=$(date +%s) && echo "now=$now"
dated() { stat -L -c %Y "$1"; }
# by its entry: some `wc -c` read the whole file
sized() { stat -L -c %s "$1"; }
if [ -n "$progress" ] && [ -f "$progress" ]; then
  echo "progress_time=$(dated "$progress")"
  echo "progress_bytes=$(sized "$progress")"
  printf 'progress=%s\n' "$(head -c 4096 "$progress" | tr '\000-\037\177' ' ')"
fi
if [ -n "$checkpoints" ]; then
  newest=0 name=
  IFS=
  for file in $checkpoints; do
    [ -e "$file" ] || continue
    at=$(dated "$file") || continue
    [ "$at" -gt "$newest" ] && newest=$at name=$file
  done
  unset IFS
  if [ -n "$name" ]; then
    echo "checkpoint_time=$newest"
    echo "checkpoint_name=$(printf %s "$name" | cksum)"
  fi
fi
if [ -n "$log" ] && [ -f "$log" ]; then echo "log_bytes=$(sized "$log")"; fi
LOOK
)

printf '\n%s\n' "$mark"
{
  here=$(sh -c "$look" sh "$@")
  printf '%s\n' "$here"
  case $here in *progress_time=* | *checkpoint_time=* | *log_bytes=*) found=yes ;; *) found= ;; esac
  if [ -z "$found" ] && [ "$container" != - ]; then
    timeout -k 1 10 docker exec "$container" sh -c "$look" sh "$@" </dev/null || echo "unread=yes"
  fi
} 2>/dev/null
printf '\n%s\n' "$mark"
