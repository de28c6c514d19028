import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SequenceLayout;
import java.lang.foreign.StructLayout;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodType;
import java.lang.reflect.Field;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Compares the header, the built library and the Java bindings with each other. Run by {@code ci/check-abi}, which
 * gives the four paths: header, library, folder of the tier objects, folder of the Java module (sources and compiled classes).
 *
 * <ul>
 *   <li>The library exports exactly the functions of the header, and nothing that is not called {@code kith_*}.
 *   <li>It needs no symbol version above GLIBC_2.34 and GLIBCXX_3.4.29 (Ubuntu 22.04, RHEL 9).
 *   <li>An object of an instruction-set tier defines no global or weak symbol outside the namespace of its tier: the
 *       linker keeps one of several equal ones, and it could be the one a small CPU cannot run.
 *   <li>Every function has one Java handle that resolves in the library, with the argument kinds of the header.
 *   <li>Every struct has the offsets and size that the C compiler gives it, every enum and constant its value.
 * </ul>
 */
final class CheckAbi {
  private static final Map<String, int[]> LIMITS =
      Map.of("GLIBC", new int[] {2, 34, 0}, "GLIBCXX", new int[] {3, 4, 29}, "CXXABI", new int[] {1, 3, 13});
  private static final Set<String> TIERS = Set.of("scalar", "v2", "v3", "v4");

  private static final String BINDINGS = "dev.kith.internal.Abi";

  /** Java enums whose ordinals are the numbers of the header, with the prefix of their constants there. */
  private static final Map<String, String> ENUMS =
      Map.of("dev.kith.device.DType", "KITH_",
          "dev.kith.kernel.Reduction$Kind", "KITH_REDUCE_",
          "dev.kith.kernel.NoiseField$Distribution", "KITH_");

  private final List<String> faults = new ArrayList<>();

  /** A function of the header: kinds are V, I, J, D and A as in {@link #kind}; the result comes first. */
  record Function(String name, String kinds) {}

  /** A member of a struct; an array has a count. */
  record Member(String name, String kind, int count) {}

  record Header(
      Map<String, Function> functions,
      Map<String, List<Member>> structs,
      Map<String, Long> constants) {}

  public static void main(String[] args) throws Exception {
    if (args.length != 4) {
      System.err.println("usage: CheckAbi HEADER LIBRARY TIER_OBJECTS JAVA_MODULE");
      System.exit(2);
    }
    CheckAbi check = new CheckAbi();
    Path headerFile = Path.of(args[0]);
    Path library = Path.of(args[1]);
    Header header = parse(Files.readString(headerFile));
    check.exports(header, library);
    int versions = check.versions(library);
    int objects = check.tiers(Path.of(args[2]));
    Layouts layouts = Layouts.ofCompiler(headerFile, header);
    check.bindings(header, layouts, library, Path.of(args[3]));
    check.faults.forEach(fault -> System.err.println("check-abi: " + fault));
    System.out.printf(
        "check-abi: %d functions, %d structs, %d constants, %d symbol versions, %d tier objects: %s%n",
        header.functions().size(),
        header.structs().size(),
        header.constants().size(),
        versions,
        objects,
        check.faults.isEmpty() ? "all agree" : check.faults.size() + " disagree");
    System.exit(check.faults.isEmpty() ? 0 : 1);
  }

  // ---- header ----------------------------------------------------------------------------------------------------

  static Header parse(String text) {
    Map<String, Long> constants = new TreeMap<>();
    Matcher define = Pattern.compile("(?m)^#define\\s+(KITH_\\w+)\\s+(-?\\d+)\\s*(?:/\\*.*)?$").matcher(text);
    while (define.find()) {
      constants.put(define.group(1), Long.parseLong(define.group(2)));
    }
    String code =
        text.replaceAll("(?s)/\\*.*?\\*/", " ").replaceAll("//[^\n]*", " ").replaceAll("(?m)^\\s*#.*$", " ");
    Set<String> enums = new TreeSet<>();
    Matcher enumeration = Pattern.compile("typedef\\s+enum\\s+\\w+\\s*\\{([^}]*)}\\s*(\\w+)\\s*;").matcher(code);
    while (enumeration.find()) {
      enums.add(enumeration.group(2));
      for (String entry : enumeration.group(1).split(",")) {
        if (!entry.isBlank()) {
          String[] parts = entry.split("=");
          constants.put(parts[0].strip(), Long.decode(parts[1].strip()));
        }
      }
    }
    Map<String, List<Member>> structs = new LinkedHashMap<>();
    Matcher struct = Pattern.compile("typedef\\s+struct\\s+\\w+\\s*\\{([^}]*)}\\s*(\\w+)\\s*;").matcher(code);
    while (struct.find()) {
      List<Member> fields = new ArrayList<>();
      for (String declaration : struct.group(1).split(";")) {
        if (!declaration.isBlank()) {
          fields.add(member(declaration.strip(), enums, constants));
        }
      }
      structs.put(struct.group(2), fields);
    }
    Map<String, Function> functions = new TreeMap<>();
    Matcher function = Pattern.compile("KITH_API\\s+([^;()]*?)(\\w+)\\s*\\(([^)]*)\\)\\s*;").matcher(code);
    while (function.find()) {
      StringBuilder kinds = new StringBuilder(kind(function.group(1), enums));
      String parameters = function.group(3).strip();
      if (!parameters.equals("void")) {
        for (String parameter : parameters.split(",")) {
          Matcher named = Pattern.compile("(?s)(.*?)(\\w+)\\s*").matcher(parameter.strip());
          if (!named.matches()) {
            throw new IllegalStateException("cannot read the parameter '" + parameter + "'");
          }
          kinds.append(kind(named.group(1), enums));
        }
      }
      functions.put(function.group(2), new Function(function.group(2), kinds.toString()));
    }
    if (functions.isEmpty() || structs.isEmpty()) {
      throw new IllegalStateException("the header has no functions or no structs that this check can read");
    }
    return new Header(functions, structs, constants);
  }

  private static Member member(String declaration, Set<String> enums, Map<String, Long> constants) {
    Matcher matcher = Pattern.compile("(?s)(.*?)(\\w+)\\s*(?:\\[(\\w+)])?").matcher(declaration);
    if (!matcher.matches()) {
      throw new IllegalStateException("cannot read the field '" + declaration + "'");
    }
    int count = 1;
    if (matcher.group(3) != null) {
      Long named = constants.get(matcher.group(3));
      count = named != null ? named.intValue() : Integer.parseInt(matcher.group(3));
    }
    return new Member(matcher.group(2), kind(matcher.group(1), enums), count);
  }

  /** V void, I 32-bit integer or enum, J 64-bit integer, D double, A address, else the name of a struct. */
  private static String kind(String type, Set<String> enums) {
    String bare = type.replace("const", " ").strip();
    if (bare.endsWith("*")) {
      return "A";
    }
    return switch (bare) {
      case "void" -> "V";
      case "int32_t" -> "I";
      case "int64_t" -> "J";
      case "double" -> "D";
      default -> enums.contains(bare) ? "I" : bare;
    };
  }

  // ---- library ---------------------------------------------------------------------------------------------------

  private void exports(Header header, Path library) throws IOException, InterruptedException {
    Set<String> exported = new TreeSet<>();
    for (String line : run("nm", "-D", "--defined-only", library.toString())) {
      String[] parts = line.split("\\s+");
      exported.add(parts[parts.length - 1].replaceFirst("@.*", ""));
    }
    for (String name : exported) {
      if (!name.startsWith("kith_")) {
        fault("the library exports '%s', which is not called kith_*", name);
      } else if (!header.functions().containsKey(name)) {
        fault("the library exports '%s', which the header does not declare", name);
      }
    }
    for (String name : header.functions().keySet()) {
      if (!exported.contains(name)) {
        fault("the header declares '%s', which the library does not export", name);
      }
    }
  }

  private int versions(Path library) throws IOException, InterruptedException {
    Set<String> seen = new TreeSet<>();
    Pattern version = Pattern.compile("\\b([A-Z]+)_(\\d+(?:\\.\\d+)*)\\b");
    for (String line : run("objdump", "-p", library.toString())) {
      Matcher matcher = version.matcher(line);
      if (matcher.find() && seen.add(matcher.group())) {
        int[] limit = LIMITS.get(matcher.group(1));
        if (limit != null && Arrays.compare(numbers(matcher.group(2)), limit) > 0) {
          fault(
              "the library needs %s, above the limit %s_%s",
              matcher.group(),
              matcher.group(1),
              Arrays.stream(limit).mapToObj(Integer::toString).collect(Collectors.joining(".")));
        }
      }
    }
    return seen.size();
  }

  private static int[] numbers(String version) {
    return Arrays.copyOf(Arrays.stream(version.split("\\.")).mapToInt(Integer::parseInt).toArray(), 3);
  }

  private int tiers(Path folder) throws IOException, InterruptedException {
    List<Path> objects;
    try (Stream<Path> files = Files.walk(folder)) {
      objects = files.filter(file -> file.toString().endsWith(".o") && !tier(file).isEmpty()).sorted().toList();
    }
    Set<String> found = new TreeSet<>();
    for (Path object : objects) {
      String tier = tier(object);
      found.add(tier);
      for (String line : run("nm", "-C", "--defined-only", "--extern-only", object.toString())) {
        // ADDRESS TYPE NAME; names of the tier are kith::TIER::...; type information has a prefix of words.
        String name = line.replaceFirst("^\\S*\\s+\\S\\s+", "");
        if (!name.matches("(?:[a-z ]+ for )?kith::" + tier + "::.*")) {
          fault("%s defines '%s' outside the namespace kith::%s", folder.relativize(object), name, tier);
        }
      }
    }
    if (found.size() != TIERS.size()) {
      fault("objects were found of the tiers %s only, under %s", found, folder);
    }
    return objects.size();
  }

  /** The tier of an object by the name of its CMake target, kith_FAMILY_TIER; empty for the rest. */
  private static String tier(Path object) {
    for (Path part : object) {
      Matcher matcher = Pattern.compile("kith_\\w+_([a-z0-9]+)\\.dir").matcher(part.toString());
      if (matcher.matches() && TIERS.contains(matcher.group(1))) {
        return matcher.group(1);
      }
    }
    return "";
  }

  // ---- layouts ---------------------------------------------------------------------------------------------------

  /** What the C compiler says: the size of each struct and the offset of each field. */
  record Layouts(Map<String, Long> sizes, Map<String, Long> offsets) {
    static Layouts ofCompiler(Path headerFile, Header header) throws IOException, InterruptedException {
      StringBuilder source = new StringBuilder("#include <stddef.h>\n#include <stdio.h>\n#include \"kith.h\"\nint main(void) {\n");
      header
          .structs()
          .forEach(
              (struct, fields) -> {
                source.append("  printf(\"%s %%zu\\n\", sizeof(%s));%n".formatted(struct, struct));
                for (Member field : fields) {
                  source.append(
                      "  printf(\"%s.%s %%zu\\n\", offsetof(%s, %s));%n"
                          .formatted(struct, field.name(), struct, field.name()));
                }
              });
      // The compiler's view of the constants must be what this program read in the text.
      header
          .constants()
          .forEach(
              (name, value) ->
                  source.append("  _Static_assert(%s == %d, \"%s\");%n".formatted(name, value, name)));
      source.append("  return 0;\n}\n");
      Path folder = Files.createTempDirectory("kith-check-abi");
      Path file = folder.resolve("layouts.c");
      Path program = folder.resolve("layouts");
      try {
        Files.writeString(file, source);
        run("gcc", "-std=c11", "-I", headerFile.getParent().toString(), "-o", program.toString(), file.toString());
        Map<String, Long> sizes = new TreeMap<>();
        Map<String, Long> offsets = new TreeMap<>();
        for (String line : run(program.toString())) {
          String[] parts = line.split(" ");
          (parts[0].contains(".") ? offsets : sizes).put(parts[0], Long.parseLong(parts[1]));
        }
        return new Layouts(sizes, offsets);
      } finally {
        Files.deleteIfExists(program);
        Files.deleteIfExists(file);
        Files.deleteIfExists(folder);
      }
    }
  }

  // ---- bindings --------------------------------------------------------------------------------------------------

  /** The bindings have one shape: {@code field = bind("kith_name", RESULT, ARGUMENT...);}. */
  private static final Pattern BINDING = Pattern.compile("(\\w+)\\s*=\\s*bind\\(\\s*\"(\\w+)\"");

  private void bindings(Header header, Layouts layouts, Path library, Path module) throws Exception {
    Path source = module.resolve("src/main/java").resolve(BINDINGS.replace('.', '/') + ".java");
    Map<String, String> fieldOf = new TreeMap<>();
    Matcher binding = BINDING.matcher(Files.readString(source));
    while (binding.find()) {
      if (fieldOf.put(binding.group(2), binding.group(1)) != null) {
        fault("the Java bindings bind '%s' twice", binding.group(2));
      }
      if (!header.functions().containsKey(binding.group(2))) {
        fault("the Java bindings bind '%s', which the header does not declare", binding.group(2));
      }
    }
    URL[] classes = {module.resolve("target/classes").toUri().toURL()};
    try (URLClassLoader loader = new URLClassLoader(classes);
        Arena arena = Arena.ofConfined()) {
      Class<?> type = loader.loadClass(BINDINGS);
      // The constructor looks up every symbol and compares the versions.
      Object abi =
          type.getConstructor(SymbolLookup.class, String.class)
              .newInstance(SymbolLookup.libraryLookup(library, arena), library.toString());
      for (Function function : header.functions().values()) {
        String field = fieldOf.get(function.name());
        if (field == null) {
          fault("the Java bindings lack '%s'", function.name());
        } else {
          handle(function, abi, type, field);
        }
      }
      for (Field struct : type.getFields()) {
        if (struct.getType() == StructLayout.class) {
          struct(header, layouts, "kith_" + struct.getName().toLowerCase(Locale.ROOT), (StructLayout) struct.get(null));
        }
      }
      for (String struct : header.structs().keySet()) {
        String name = struct.substring("kith_".length()).toUpperCase(Locale.ROOT);
        if (Arrays.stream(type.getFields()).noneMatch(field -> field.getName().equals(name))) {
          fault("the Java bindings have no layout %s of '%s'", name, struct);
        }
      }
      constants(header, loader, type);
    }
  }

  private void handle(Function function, Object abi, Class<?> type, String field) throws ReflectiveOperationException {
    Field declared = type.getDeclaredField(field);
    declared.setAccessible(true);
    MethodType handle = ((MethodHandle) declared.get(abi)).type();
    String bound = carrier(handle.returnType()) + handle.parameterList().stream().map(CheckAbi::carrier).collect(Collectors.joining());
    if (!bound.equals(function.kinds())) {
      fault("'%s' is %s in the header and %s in the Java bindings", function.name(), function.kinds(), bound);
    }
    // The method that calls the handle: kith_queue_sync is queueSync. Texts come back as String.
    String method = camel(function.name().substring("kith_".length()));
    List<String> calls =
        Arrays.stream(type.getMethods())
            .filter(candidate -> candidate.getName().equals(method))
            .map(
                candidate ->
                    (candidate.getReturnType() == String.class ? "A" : carrier(candidate.getReturnType()))
                        + Arrays.stream(candidate.getParameterTypes())
                            .map(CheckAbi::carrier)
                            .collect(Collectors.joining()))
            .toList();
    if (!calls.equals(List.of(function.kinds()))) {
      fault("'%s' is %s in the header, and the Java method %s is %s", function.name(), function.kinds(), method, calls);
    }
  }

  private void struct(Header header, Layouts layouts, String name, StructLayout layout) {
    List<Member> members = header.structs().get(name);
    if (members == null) {
      fault("the Java bindings have a layout of '%s', which the header does not declare", name);
      return;
    }
    if (layout.byteSize() != layouts.sizes().get(name)) {
      fault("'%s' has %d bytes in C and %d in Java", name, layouts.sizes().get(name), layout.byteSize());
    }
    Set<String> named = new TreeSet<>();
    long offset = 0;
    for (MemoryLayout part : layout.memberLayouts()) {
      long at = offset;
      offset += part.byteSize();
      if (part.name().isEmpty()) {
        continue;
      }
      String member = part.name().get();
      named.add(member);
      Long expected = layouts.offsets().get(name + "." + member);
      if (expected == null) {
        fault("the Java layout of '%s' has a member '%s' that the header lacks", name, member);
      } else if (expected != at) {
        fault("'%s.%s' is at byte %d in C and %d in Java", name, member, expected, at);
      }
    }
    for (Member member : members) {
      if (!named.contains(member.name())) {
        fault("the Java layout of '%s' lacks the member '%s'", name, member.name());
        continue;
      }
      MemoryLayout part = layout.select(MemoryLayout.PathElement.groupElement(member.name()));
      String kind =
          switch (part) {
            case ValueLayout value -> carrier(value.carrier());
            case SequenceLayout sequence -> sequence.elementCount() + " elements";
            default -> "group";
          };
      String expected = member.count() == 1 ? member.kind() : member.count() + " elements";
      if (!kind.equals(expected)) {
        fault("'%s.%s' is %s in the header and %s in Java", name, member.name(), expected, kind);
      }
    }
  }

  /** Numbers that the bindings name as the header does without its prefix, and the enums that mirror one. */
  private void constants(Header header, ClassLoader loader, Class<?> type) throws ReflectiveOperationException {
    Map<String, Long> java = new TreeMap<>();
    for (Field field : type.getFields()) {
      if (field.getType() == int.class) {
        String name = field.getName();
        java.put(Set.of("MAJOR", "MINOR").contains(name) ? "KITH_ABI_" + name : "KITH_" + name, (long) field.getInt(null));
      }
    }
    for (var mirrored : ENUMS.entrySet()) {
      for (Object constant : loader.loadClass(mirrored.getKey()).getEnumConstants()) {
        Enum<?> value = (Enum<?>) constant;
        java.put(mirrored.getValue() + value.name(), (long) value.ordinal());
      }
    }
    java.forEach(
        (name, value) -> {
          Long expected = header.constants().get(name);
          if (expected == null) {
            fault("Java has a constant %s that the header lacks", name);
          } else if (!expected.equals(value)) {
            fault("%s is %d in the header and %d in Java", name, expected, value);
          }
        });
    for (String name : header.constants().keySet()) {
      if (!java.containsKey(name)) {
        fault("Java has no counterpart of the constant %s", name);
      }
    }
  }

  private static String camel(String snake) {
    Matcher matcher = Pattern.compile("_(\\w)").matcher(snake);
    return matcher.replaceAll(match -> match.group(1).toUpperCase(Locale.ROOT));
  }

  private static String carrier(Class<?> type) {
    return type == MemorySegment.class ? "A" : type.descriptorString();
  }

  // ---- tools -----------------------------------------------------------------------------------------------------

  private void fault(String format, Object... arguments) {
    faults.add(format.formatted(arguments));
  }

  private static List<String> run(String... command) throws IOException, InterruptedException {
    Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    List<String> lines = new String(process.getInputStream().readAllBytes()).lines().toList();
    if (!process.waitFor(1, TimeUnit.MINUTES) || process.exitValue() != 0) {
      throw new IOException(String.join(" ", command) + " failed");
    }
    return lines;
  }
}
