# What uses the GPUs, in one round trip. Reads only. Run, after flight.sh, as: sh -s -- MARK TARGET
#
# nvidia-smi can hang in the kernel. Each target has its own to wait for: those of other targets and agents run at
# their own time. POSIX sh, for dash and busybox alike.

LC_ALL=C
export LC_ALL
set -f
mark=$1 target=$2

# ask ARGUMENTS...: as aside; its output is in $told. What can be ended is not left behind.
ask() {
  aside "$told" nvidia-smi "$@" --format=csv,noheader,nounits && return
  status=$?
  [ "$status" != 124 ] || ! alive "$job" "$since" || kill -9 "$job"
  return "$status"
}

gpus() {
  command -v nvidia-smi >/dev/null || { echo tool=none; return; }
  flight "nvidia-smi.$target"
  busy && { echo tool=busy; return; }
  told=$(mktemp) || { echo tool=failed; return; }
  ask --query-gpu=index,uuid,utilization.gpu,memory.used,memory.total
  case $? in
    0) tool=ok ;;
    *) tool=failed ;;
  esac
  while IFS= read -r line; do
    case $line in *"Driver/library version mismatch"*) tool=mismatch ;; esac
    [ "$tool" = ok ] && echo "gpu=$line"
  done <"$told"
  if [ "$tool" = ok ]; then
    if ask --query-compute-apps=gpu_uuid,pid; then
      while IFS= read -r line; do echo "process=$line"; done <"$told"
    else
      tool=failed
    fi
  fi
  rm -f "$told"
  echo "tool=$tool"
}

printf '\n%s\n' "$mark"
gpus 2>/dev/null
printf '\n%s\n' "$mark"
