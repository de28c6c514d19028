# Sourced by ./kith and the checks: finds the JDK that Kith runs on. It reads the `release` file of a JDK instead of
# starting it, so that the search costs a few milliseconds.

# jdk_version HOME: prints the version of the JDK or JRE in HOME, nothing where there is none.
jdk_version() {
  local line
  [ -x "$1/bin/java" ] || return 0
  if [ -r "$1/release" ]; then
    while IFS= read -r line; do
      case $line in
        JAVA_VERSION=*)
          line=${line#JAVA_VERSION=}
          printf '%s' "${line//\"/}"
          return 0
          ;;
      esac
    done <"$1/release"
  fi
  "$1/bin/java" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.version = //p'
}

# is_25 VERSION
is_25() {
  case $1 in
    25 | 25.* | 25-* | 25+*) return 0 ;;
    *) return 1 ;;
  esac
}

# find_jdk: sets jdk and jdk_found (its version), or leaves jdk empty with the reason in jdk_problem.
find_jdk() {
  local home name on_path
  jdk='' jdk_found='' jdk_problem=''
  if [ -n "${KITH_JAVA:-}" ]; then
    home=$KITH_JAVA
    # Both the folder and its java program are accepted.
    if [ ! -d "$home" ] && [ -x "$home" ]; then
      home=$(readlink -f "$home")
      home=${home%/bin/java}
    fi
    jdk_found=$(jdk_version "$home")
    if is_25 "$jdk_found"; then
      jdk=$home
    elif [ -z "$jdk_found" ]; then
      jdk_problem="KITH_JAVA is '$KITH_JAVA', where there is no Java; set it to the folder of a JDK 25 or unset it."
    else
      jdk_problem="KITH_JAVA is '$KITH_JAVA', which is Java $jdk_found; set it to the folder of a JDK 25 or unset it."
    fi
    return 0
  fi
  on_path=$(command -v java || true)
  if [ -n "$on_path" ]; then
    on_path=$(readlink -f "$on_path")
    on_path=${on_path%/bin/java}
  fi
  # A JDK (with javac) is taken before a JRE, which can only run what has been built.
  for name in javac java; do
    for home in "${JAVA_HOME:-}" "$on_path" /usr/lib/jvm/* /opt/java/* "${HOME:-}"/.sdkman/candidates/java/* \
      "${HOME:-}"/.jdks/*; do
      [ -n "$home" ] && [ -x "$home/bin/$name" ] || continue
      jdk_found=$(jdk_version "$home")
      if is_25 "$jdk_found"; then
        jdk=$home
        return 0
      fi
    done
  done
  jdk_found=''
  jdk_problem='no JDK 25 was found in KITH_JAVA, JAVA_HOME, PATH or /usr/lib/jvm; install one, for example Eclipse Temurin 25.0.3 or newer, and set JAVA_HOME to its folder.'
}
