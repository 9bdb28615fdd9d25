# Signs of a training run. Reads only. Run, after flight.sh, as:
# sh -s -- MARK TARGET CONTAINER PROGRESS CHECKPOINTS LOG
#
#   TARGET       its name
#   CONTAINER    id of the container in which to look for what is not on the host, or -
#   PROGRESS     path of the progress file; CHECKPOINTS a pattern; LOG a path; each may be empty
#
# Prints key=value lines; a sign that is not there leaves its lines out. POSIX sh. The same text runs on the
# host and, by `docker exec`, in the container. Where checkpoints lie on a network file system that hangs, so does who
# looks at them, and nothing ends it but that system's return.

LC_ALL=C
export LC_ALL
set -f
mark=$1 target=$2 container=$3
shift 3

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

# a program of its own: a mere copy of this shell would hold this one's files, and the server wait for it
signs=$(cat <<'SIGNS'
exec 2>/dev/null
look=$1 container=$2
shift 2
here=$(sh -c "$look" sh "$@")
printf '%s\n' "$here"
case $here in *progress_time=* | *checkpoint_time=* | *log_bytes=*) exit ;; esac
# without a deadline of its own: ended here, it would stay in the container, and nobody would know of it
[ "$container" = - ] || docker exec "$container" sh -c "$look" sh "$@" || echo "unread=yes"
SIGNS
)

training() {
  # other paths are another matter: they may be the cure
  paths=$(printf '%s\n' "$@" | cksum)
  flight "training.$target.${paths%% *}"
  busy && { echo unread=held; return; }
  found=$(mktemp) || { echo unread=late; return; }
  aside "$found" sh -c "$signs" sh "$look" "$container" "$@"
  case $? in
    124) echo unread=late ;;
    *) cat "$found" ;;
  esac
  rm -f "$found"
}

printf '\n%s\n' "$mark"
training "$@" 2>/dev/null
printf '\n%s\n' "$mark"
