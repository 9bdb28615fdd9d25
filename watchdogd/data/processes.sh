# Which processes belong to the runtime. Functions only, for the scripts that come after this one in the
# same shell; these set $container or $pid and `set -f`. POSIX sh, for dash and busybox alike.

# read_stat PID: sets $started and $used, its start and the CPU that it used, in clock ticks
read_stat() {
  stat= started= used=
  while IFS= read -r line || [ -n "$line" ]; do stat="$stat $line"; done <"/proc/$1/stat"
  # the name stands in brackets and may hold anything, brackets and spaces too
  set -- ${stat##*) }
  [ "$#" -ge 20 ] || return 1
  started=${20} used=$((${12} + ${13}))
}

of_container() {
  set +f
  found=$(grep -l -F -e "$container" /proc/[0-9]*/cgroup)
  set -f
  for file in $found; do
    file=${file#/proc/}
    echo "${file%/cgroup}"
  done
}

of_pid() {
  set +f
  family=" $pid " pairs='' gone=
  for file in /proc/[0-9]*/stat; do
    stat=
    while IFS= read -r line || [ -n "$line" ]; do stat="$stat $line"; done <"$file" || continue
    set -f
    child=${file#/proc/}
    set -- ${stat##*) }
    set +f
    pairs="$pairs ${child%/stat}:$2"
  done
  set -f
  for child in $pid; do [ -r "/proc/$child/stat" ] || gone=yes; done
  [ -z "$gone" ] || return 0
  grown=yes
  while [ -n "$grown" ]; do
    grown=
    for pair in $pairs; do
      case $family in *" ${pair%%:*} "*) continue ;; esac
      case $family in *" ${pair#*:} "*) family="$family${pair%%:*} " grown=yes ;; esac
    done
  done
  for child in $family; do echo "$child"; done
}
