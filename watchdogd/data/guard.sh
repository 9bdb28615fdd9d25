# The guard: ends something that runs, if and only if everything is still as it was decided on. Run, after
# processes.sh, as: sh -s -- MARK KIND KEY REMEDY PLACE MEANT RUN SIX DAY SLACK SERVERS OTHERS SECONDS
#                   WHO SOCKET ACTION...
#
#   KIND           container or session
#   KEY            of this one decision; it acts at most once, whoever asks again
#   PLACE          HOST:PORT where the runtime answers: what the budget belongs to, whichever agent asks
#   MEANT RUN      the container's id and start, or the session's name and its first pane's PID:CREATED
#   SIX DAY        most acts at that place in 6 and in 24 hours, of all agents together
#   SLACK          CPU, in hundredths of a second, that is no sign of work
#   SERVERS        "PID:START ..." of the runtime server itself; OTHERS "PID:START:CPU ..." of the rest of
#                  what was seen when it was decided; START in clock ticks, CPU in hundredths of a second
#   SECONDS        for the act
#   WHO            agent, or person: then only the lock, PAUSE, the key and MEANT RUN can stop it
#   SOCKET         tmux's options for its socket, or empty
#
# One shell, one lock: between the last look and the act lies only the writing of the ledger. Who has the server but not the
# laptop puts a stop to all of it with `touch ~/.watchdogd/PAUSE`. POSIX sh, for dash and busybox alike.

LC_ALL=C
export LC_ALL
set -f
mark=$1 kind=$2 key=$3 remedy=$4 place=$5 meant=$6 run=$7 six=$8 day=$9
shift 9
slack=$1 servers=" $2 " others=" $3 " seconds=$4 who=$5 socket=$6
shift 6
folder=${HOME:?}/.watchdogd
ledger=$folder/ledger.jsonl
# Whoever asked may be gone before the act ends: its result is kept all the same.
trap '' HUP PIPE

say() {
  printf '\n%s\nresult=%s\ndetail=%s\n\n%s\n' "$mark" "$1" "$2" "$mark"
  exit 0
}

# bounded SECONDS COMMAND...: without the lock, as some `timeout` leaves a child that outlives it
bounded() {
  timeout -k 10 "$@" 9>&-
}

need() {
  command -v "$1" >/dev/null 2>&1 || say missing "$1 is not installed on the server"
}

# Counts the acts at this place, and sets $known to what became of this very decision before.
counted() {
  in_six=0 in_day=0 known='' now=$(date +%s)
  [ -e "$ledger" ] || return 0
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      '' | '{"at":'*',"event":"result",'*) at= ;;
      '{"at":'*',"event":"intent",'*',"place":"'"$place"'"}') at=${line#'{"at":'} at=${at%%,*} ;;
      '{"at":'*',"event":"intent",'*',"place":"'*'"}') at= ;;
      *) at=$now ;; # half-written or foreign: an act of unknown age counts as one of now
    esac
    case $line in
      '{"at":'*',"event":"intent","key":"'"$key"'",'*) known=unknown ;;
      '{"at":'*',"event":"result","key":"'"$key"'","result":"'*'"}')
        known=${line##*'"result":"'} known=${known%%'"'*}
        ;;
    esac
    [ -n "$at" ] || continue
    case $at in *[!0-9]*) at=$now ;; esac
    [ $((now - at)) -lt 21600 ] && in_six=$((in_six + 1))
    [ $((now - at)) -lt 86400 ] && in_day=$((in_day + 1))
  done <"$ledger"
}

as_meant() {
  case $kind in
    container)
      seen=$(bounded 10 docker inspect --type container \
        -f '{{.Id}} {{.State.StartedAt}} {{.State.Status}}' "$meant") || return 1
      [ "$seen" = "$meant $run running" ]
      ;;
    session)
      # $socket is one of our own options, so it may be split
      seen=$(bounded 10 tmux $socket list-panes -s -t "=$meant:" \
        -F '#{pane_pid}:#{session_created} #{pane_dead}') || return 1
      [ "${seen%% *}" = "$run" ]
      ;;
    *) return 1 ;;
  esac
}

# HTTP status of the runtime's answer; 0 if there is none
status() {
  if command -v curl >/dev/null 2>&1; then
    bounded 8 curl -q -s -g -o /dev/null -m 5 --noproxy '*' -w '%{http_code}' "http://$place/api" || echo 000
  else
    bounded 8 python3 -c '
import http.client, sys
host, _, port = sys.argv[1].rpartition(":")
try:
    peer = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=5)
    peer.request("GET", "/api")
    print(peer.getresponse().status)
except (OSError, http.client.HTTPException):
    print("000")
' "$place"
  fi 2>/dev/null
}

# Ends this script if anything shows that work goes on, or if that cannot be told.
nobody_works() {
  hundredths=$(getconf CLK_TCK) || say missing "getconf is not installed on the server"
  count=0 spent=0
  for number in $("$@"); do
    read_stat "$number" || continue
    count=$((count + 1))
    case $servers in *" $number:$started "*) continue ;; esac
    case $others in
      *" $number:$started:"*)
        before=${others##*" $number:$started:"} before=${before%% *}
        spent=$((spent + used * 100 / hundredths - before))
        ;;
      *) say veto "a process was started in the runtime since it was decided" ;;
    esac
  done 2>/dev/null
  [ "$count" -gt 0 ] || say unread "the runtime's processes cannot be seen"
  [ "$spent" -le "$slack" ] || say veto "a process of the runtime uses CPU"
}

note() {
  [ -s "$ledger" ] && [ -n "$(tail -c 1 "$ledger")" ] && echo >>"$ledger"
  printf '%s\n' "$1" >>"$ledger" || return 1
  bounded 20 sync "$ledger" 2>/dev/null || bounded 20 sync
}

trimmed() {
  [ "$(grep -c '' "$ledger")" -gt 2000 ] || return 0
  tail -n 1000 "$ledger" >"$ledger.new" && mv "$ledger.new" "$ledger"
}

for tool in flock timeout date sync grep tail; do need "$tool"; done
case $kind in container) need docker ;; session) need tmux ;; esac
command -v curl >/dev/null 2>&1 || command -v python3 >/dev/null 2>&1 ||
  say missing "neither curl nor python3 is installed on the server"
umask 077
mkdir -p "$folder" 2>/dev/null && : >>"$folder/lock" 2>/dev/null ||
  say missing "$folder cannot be written"
exec 9>>"$folder/lock"
flock -n 9 || say busy "another agent is at work on this server"
[ -e "$folder/PAUSE" ] && say paused "$folder/PAUSE exists on the server"
counted
[ -z "$known" ] || say repeat "$known"
as_meant 2>/dev/null || say changed "it is not what was judged any more"
if [ "$who" = agent ]; then
  answer=$(status)
  [ "${answer:-0}" -lt 100 ] || [ "$answer" -ge 500 ] || say healed "the runtime answers on the server"
  free=$(df -Pk / | { read -r _ && read -r _ _ _ free _ && echo "$free"; })
  [ "${free:-0}" -ge 2000000 ] || say veto "less than 2 GB of disk free on the server"
  case $kind in
    container)
      container=$meant
      nobody_works of_container
      ;;
    session)
      pid=$(printf '%s\n' "$seen" | while read -r pane dead; do
        [ "$dead" = 0 ] && printf '%s ' "${pane%%:*}"
      done)
      nobody_works of_pid
      ;;
  esac
  [ "$in_six" -lt "$six" ] && [ "$in_day" -lt "$day" ] ||
    say budget "this server's ledger has $in_six of $six in 6 h, $in_day of $day in 24 h"
fi
trimmed 2>/dev/null
note "{\"at\":$now,\"event\":\"intent\",\"key\":\"$key\",\"remedy\":\"$remedy\",\"place\":\"$place\"}" ||
  say missing "$ledger cannot be written"
told=$(bounded "$seconds" "$@" 2>&1 >/dev/null </dev/null)
case $? in
  0) result=acted ;;
  124 | 137 | 143) result=late ;;
  *) result=failed ;;
esac
note "{\"at\":$(date +%s),\"event\":\"result\",\"key\":\"$key\",\"result\":\"$result\"}"
say "$result" "$(printf %s "$told" | head -c 300 | tr '\000-\037\177' ' ')"
