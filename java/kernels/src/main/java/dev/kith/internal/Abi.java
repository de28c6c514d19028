package dev.kith.internal;

import static java.lang.foreign.MemoryLayout.PathElement.groupElement;
import static java.lang.foreign.MemoryLayout.structLayout;

import java.lang.foreign.AddressLayout;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SequenceLayout;
import java.lang.foreign.StructLayout;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Optional;

/**
 * The bindings of {@code kith.h}: every function, struct and constant of the header, by hand, in
 * this one file. An instance is one loaded library; nothing here is static but layouts and numbers,
 * so that several libraries can be loaded side by side. Functions return the status; meanings stand
 * in the header. {@code ci/check-abi} compares the two files in every run and relies on their
 * regular shape. Thread-safe.
 *
 * <p>Handles are not {@code critical}: such a call would hold up every safepoint of the JVM until
 * it returns.
 */
public final class Abi {
  /** KITH_ABI_MAJOR of the header that this class binds. */
  public static final int MAJOR = 1;

  /** KITH_ABI_MINOR of the header that this class binds. */
  public static final int MINOR = 2;

  // kith_status
  public static final int OK = 0;
  public static final int AGAIN = 1;
  public static final int INVALID = 2;
  public static final int UNSUPPORTED = 3;
  public static final int OUT_OF_MEMORY = 4;
  public static final int TIMEOUT = 5;
  public static final int CAPACITY = 6;
  public static final int NOT_FOUND = 7;
  public static final int DEVICE_FAILED = 8;
  public static final int INTERNAL = 9;
  public static final int BUSY = 10;

  private static final String[] STATUS_NAMES = {
    "OK",
    "AGAIN",
    "INVALID",
    "UNSUPPORTED",
    "OUT_OF_MEMORY",
    "TIMEOUT",
    "CAPACITY",
    "NOT_FOUND",
    "DEVICE_FAILED",
    "INTERNAL",
    "BUSY"
  };

  /** KITH_MAX_TERMS. */
  public static final int MAX_TERMS = 4;

  /** KITH_MAX_RANK. */
  public static final int MAX_RANK = 64;

  // kith_rule
  public static final int SGD = 0;
  public static final int HEAVY_BALL = 1;
  public static final int NESTEROV = 2;
  public static final int ADAGRAD = 3;
  public static final int ADADELTA = 4;
  public static final int RMSPROP = 5;
  public static final int ADAM = 6;
  public static final int ADAMAX = 7;
  public static final int NADAM = 8;
  public static final int YOGI = 9;

  // kith_activation
  public static final int IDENTITY = 0;
  public static final int RELU = 1;

  // kith_sparse_form
  public static final int SPARSE_TOP = 0;
  public static final int SPARSE_AT = 1;
  public static final int SPARSE_ABOVE = 2;

  // kith_code_kind
  public static final int CODE_QSGD = 0;
  public static final int CODE_NATURAL = 1;
  public static final int CODE_SIGN = 2;
  public static final int CODE_SCALED_SIGN = 3;
  public static final int CODE_ONE_BIT = 4;
  public static final int CODE_ABSMAX = 5;
  public static final int CODE_AFFINE = 6;
  public static final int CODE_BF16 = 7;
  public static final int CODE_E4M3 = 8;
  public static final int CODE_E5M2 = 9;

  // kith_norm
  public static final int NORM_TWO = 0;
  public static final int NORM_MAX = 1;

  // kith_curvature_rule
  public static final int ADAHESSIAN = 0;
  public static final int SOPHIA_G = 1;
  public static final int SOPHIA_H = 2;

  // kith_generator
  public static final int PHILOX = 0;
  public static final int CHACHA = 1;

  private static final ValueLayout.OfInt I32 = ValueLayout.JAVA_INT;
  private static final ValueLayout.OfLong I64 = ValueLayout.JAVA_LONG;
  private static final ValueLayout.OfDouble F64 = ValueLayout.JAVA_DOUBLE;
  private static final AddressLayout PTR = ValueLayout.ADDRESS;

  /** kith_call. */
  public static final StructLayout CALL =
      structLayout(
          I64.withName("cursor"),
          I64.withName("budget_ns"),
          PTR.withName("error"),
          I64.withName("error_capacity"));

  /** kith_matrix. */
  public static final StructLayout MATRIX =
      structLayout(
          PTR.withName("memory"),
          I64.withName("offset"),
          I64.withName("rows"),
          I64.withName("cols"),
          I64.withName("stride"),
          I32.withName("dtype"),
          I32.withName("reserved"));

  /** kith_term. */
  public static final StructLayout TERM =
      structLayout(
          PTR.withName("matrix"), PTR.withName("row_coefficients"), F64.withName("coefficient"));

  private static final SequenceLayout TERMS = MemoryLayout.sequenceLayout(MAX_TERMS, TERM);

  /** kith_expression. */
  public static final StructLayout EXPRESSION =
      structLayout(
          I32.withName("inner_count"),
          I32.withName("outer_count"),
          I32.withName("message_dtype"),
          I32.withName("reserved"),
          TERMS.withName("inner"),
          TERMS.withName("outer"),
          PTR.withName("halo"),
          PTR.withName("noise"));

  /** kith_noise_term. */
  public static final StructLayout NOISE_TERM =
      structLayout(PTR.withName("factor"), PTR.withName("field"), F64.withName("scale"));

  /** kith_group. */
  public static final StructLayout GROUP =
      structLayout(
          I64.withName("begin"),
          I64.withName("end"),
          F64.withName("step_scale"),
          F64.withName("weight_decay"));

  /** kith_step. */
  public static final StructLayout STEP =
      structLayout(
          I32.withName("rule"),
          I32.withName("decoupled"),
          F64.withName("step_size"),
          F64.withName("beta1"),
          F64.withName("beta2"),
          F64.withName("epsilon"),
          F64.withName("weight_decay"),
          F64.withName("bias1"),
          F64.withName("bias2"),
          PTR.withName("groups"),
          I64.withName("group_count"),
          PTR.withName("row_scale"),
          PTR.withName("copy"),
          PTR.withName("flags"));

  /** kith_batch. */
  public static final StructLayout BATCH =
      structLayout(
          PTR.withName("base"),
          I64.withName("offset"),
          I64.withName("rows"),
          I64.withName("cols"),
          I64.withName("row_stride"),
          I64.withName("batch_stride"));

  /** kith_code. */
  public static final StructLayout CODE =
      structLayout(
          I32.withName("kind"),
          I32.withName("bits"),
          I32.withName("levels"),
          I32.withName("norm"),
          I32.withName("stochastic"),
          I32.withName("reserved"),
          I64.withName("block"));

  /** kith_draw. */
  public static final StructLayout DRAW =
      structLayout(
          I64.withName("seed"),
          I64.withName("round"),
          I64.withName("first_node"),
          I32.withName("stream"),
          I32.withName("reserved"),
          PTR.withName("uniforms"));

  /** kith_shape. */
  public static final StructLayout SHAPE =
      structLayout(
          I64.withName("offset"), I64.withName("rows"), I64.withName("cols"), I64.withName("rank"));

  /** kith_source. */
  public static final StructLayout SOURCE =
      structLayout(
          I64.withName("seed"),
          PTR.withName("secret"),
          I64.withName("round"),
          I64.withName("node"));

  /** kith_field. */
  public static final StructLayout FIELD =
      structLayout(
          I32.withName("generator"),
          I32.withName("distribution"),
          I32.withName("stream"),
          I32.withName("reserved"),
          I64.withName("count"),
          PTR.withName("sources"));

  private final SymbolLookup library;
  private final String path;

  private final MethodHandle abiVersion;
  private final MethodHandle buildInfo;
  private final MethodHandle backend;
  private final MethodHandle cpuTier;
  private final MethodHandle selectTier;
  private final MethodHandle deviceCount;
  private final MethodHandle deviceOpen;
  private final MethodHandle deviceName;
  private final MethodHandle deviceMemory;
  private final MethodHandle deviceThreads;
  private final MethodHandle deviceSetThreads;
  private final MethodHandle queueCreate;
  private final MethodHandle queueDestroy;
  private final MethodHandle queueSync;
  private final MethodHandle eventCreate;
  private final MethodHandle eventDestroy;
  private final MethodHandle eventRecord;
  private final MethodHandle eventWait;
  private final MethodHandle eventQuery;
  private final MethodHandle queueWrap;
  private final MethodHandle queueStream;
  private final MethodHandle graphBegin;
  private final MethodHandle graphEnd;
  private final MethodHandle graphLaunch;
  private final MethodHandle graphRelease;
  private final MethodHandle memoryAllocate;
  private final MethodHandle memoryWrap;
  private final MethodHandle memoryRelease;
  private final MethodHandle memoryAddress;
  private final MethodHandle fill;
  private final MethodHandle convert;
  private final MethodHandle upload;
  private final MethodHandle download;
  private final MethodHandle gatherRows;
  private final MethodHandle weightsSparse;
  private final MethodHandle weightsDense;
  private final MethodHandle weightsPairwise;
  private final MethodHandle weightsRelease;
  private final MethodHandle mix;
  private final MethodHandle reduceRows;
  private final MethodHandle reduceSegments;
  private final MethodHandle gram;
  private final MethodHandle reduceNodes;
  private final MethodHandle applyStep;
  private final MethodHandle applySteps;
  private final MethodHandle productUseBlas;
  private final MethodHandle productBlas;
  private final MethodHandle multiply;
  private final MethodHandle multiplySymmetric;
  private final MethodHandle biasActivate;
  private final MethodHandle biasBackward;
  private final MethodHandle softmaxLoss;
  private final MethodHandle softmaxCurvature;
  private final MethodHandle selectTop;
  private final MethodHandle selectAt;
  private final MethodHandle selectAbove;
  private final MethodHandle sampleThresholds;
  private final MethodHandle sparseSum;
  private final MethodHandle sparseCheck;
  private final MethodHandle codeWords;
  private final MethodHandle quantize;
  private final MethodHandle quantizeAccumulate;
  private final MethodHandle signMajority;
  private final MethodHandle codeCheck;
  private final MethodHandle lowrankLeft;
  private final MethodHandle lowrankRight;
  private final MethodHandle lowrankOrthonormalise;
  private final MethodHandle lowrankResidual;
  private final MethodHandle lowrankAccumulate;
  private final MethodHandle noise;
  private final MethodHandle curvatureStep;
  private final MethodHandle hutchinson;
  private final MethodHandle oasisStatistics;
  private final MethodHandle oasisStep;
  private final MethodHandle dots;
  private final MethodHandle cgUpdate;
  private final MethodHandle eigen;
  private final MethodHandle qr;
  private final MethodHandle polar;
  private final MethodHandle tangent;
  private final MethodHandle cholesky;
  private final MethodHandle choleskySolve;
  private final MethodHandle choleskyUpdate;
  private final MethodHandle twin;

  /**
   * Binds every symbol of the header.
   *
   * @param library where the symbols are
   * @param path the library's name, for messages
   * @throws UnsatisfiedLinkError if a symbol is missing, or the library is of another version than
   *     this class
   */
  public Abi(SymbolLookup library, String path) {
    this.library = library;
    this.path = path;
    // One line a symbol: name, return layout, argument layouts.
    // library
    abiVersion = bind("kith_abi_version", I32);
    checkVersion(abiVersion(), path);
    buildInfo = bind("kith_build_info", PTR);
    backend = bind("kith_backend", PTR);
    cpuTier = bind("kith_cpu_tier", PTR);
    selectTier = bind("kith_select_tier", I32, PTR, PTR);

    // devices, queues, events
    deviceCount = bind("kith_device_count", I32, PTR, PTR);
    deviceOpen = bind("kith_device_open", I32, I32, I32, PTR, PTR);
    deviceName = bind("kith_device_name", I32, PTR, PTR, I64, PTR);
    deviceMemory = bind("kith_device_memory", I32, PTR, PTR, PTR, PTR, PTR);
    deviceThreads = bind("kith_device_threads", I32, PTR, PTR, PTR);
    deviceSetThreads = bind("kith_device_set_threads", I32, PTR, I32, PTR);
    queueCreate = bind("kith_queue_create", I32, PTR, PTR, PTR);
    queueDestroy = bind("kith_queue_destroy", I32, PTR, PTR);
    queueSync = bind("kith_queue_sync", I32, PTR, I64, PTR);
    eventCreate = bind("kith_event_create", I32, PTR, PTR, PTR);
    eventDestroy = bind("kith_event_destroy", I32, PTR, PTR);
    eventRecord = bind("kith_event_record", I32, PTR, PTR, PTR);
    eventWait = bind("kith_event_wait", I32, PTR, PTR, PTR);
    eventQuery = bind("kith_event_query", I32, PTR, PTR, PTR);
    queueWrap = bind("kith_queue_wrap", I32, PTR, PTR, PTR, PTR);
    queueStream = bind("kith_queue_stream", I32, PTR, PTR, PTR);
    graphBegin = bind("kith_graph_begin", I32, PTR, PTR);
    graphEnd = bind("kith_graph_end", I32, PTR, PTR, PTR);
    graphLaunch = bind("kith_graph_launch", I32, PTR, PTR, PTR);
    graphRelease = bind("kith_graph_release", I32, PTR, PTR);

    // family memory
    memoryAllocate = bind("kith_memory_allocate", I32, PTR, I64, PTR, PTR);
    memoryWrap = bind("kith_memory_wrap", I32, PTR, PTR, I64, PTR, PTR);
    memoryRelease = bind("kith_memory_release", I32, PTR, PTR);
    memoryAddress = bind("kith_memory_address", I32, PTR, PTR, PTR, PTR);
    fill = bind("kith_fill", I32, PTR, PTR, F64, PTR);
    convert = bind("kith_convert", I32, PTR, PTR, PTR, PTR);
    upload = bind("kith_upload", I32, PTR, PTR, I64, PTR, PTR);
    download = bind("kith_download", I32, PTR, PTR, PTR, I64, PTR);
    gatherRows = bind("kith_gather_rows", I32, PTR, PTR, PTR, PTR, PTR);

    // family mixing
    weightsSparse = bind("kith_weights_sparse", I32, PTR, I64, I64, PTR, PTR, PTR, PTR, PTR, PTR);
    weightsDense = bind("kith_weights_dense", I32, PTR, I64, I64, PTR, PTR, PTR);
    weightsPairwise = bind("kith_weights_pairwise", I32, PTR, PTR, PTR);
    weightsRelease = bind("kith_weights_release", I32, PTR, PTR);
    mix = bind("kith_mix", I32, PTR, PTR, PTR, PTR, PTR, PTR);

    // family reduction
    reduceRows = bind("kith_reduce_rows", I32, PTR, I32, PTR, PTR, PTR, PTR);
    reduceSegments = bind("kith_reduce_segments", I32, PTR, I32, PTR, PTR, PTR, I64, PTR, PTR);
    gram = bind("kith_gram", I32, PTR, PTR, PTR, PTR, PTR);
    reduceNodes = bind("kith_reduce_nodes", I32, PTR, PTR, PTR, PTR, I64, F64, PTR, PTR, PTR);

    // family step
    applyStep = bind("kith_apply_step", I32, PTR, PTR, PTR, PTR, PTR, PTR, PTR);
    applySteps = bind("kith_apply_steps", I32, PTR, PTR, I64, PTR, PTR, PTR, PTR, PTR);

    // family product
    productUseBlas = bind("kith_product_use_blas", I32, PTR, PTR);
    productBlas = bind("kith_product_blas", I32, PTR, I64, PTR);
    multiply = bind("kith_multiply", I32, PTR, I64, F64, PTR, I32, PTR, I32, F64, PTR, PTR);
    multiplySymmetric =
        bind("kith_multiply_symmetric", I32, PTR, I64, F64, PTR, I32, F64, PTR, F64, PTR, PTR);
    biasActivate = bind("kith_bias_activate", I32, PTR, I64, PTR, PTR, I32, PTR);
    biasBackward = bind("kith_bias_activate_backward", I32, PTR, I64, PTR, PTR, PTR, I32, PTR);
    softmaxLoss = bind("kith_softmax_cross_entropy", I32, PTR, I64, PTR, PTR, PTR, PTR, PTR, PTR);
    softmaxCurvature = bind("kith_softmax_curvature", I32, PTR, I64, PTR, PTR, PTR);

    // family sparsify
    selectTop = bind("kith_select_top", I32, PTR, PTR, PTR, PTR, I64, I64, PTR, PTR, PTR);
    selectAt = bind("kith_select_at", I32, PTR, PTR, PTR, PTR, PTR, F64, PTR, PTR, PTR);
    selectAbove = bind("kith_select_above", I32, PTR, PTR, PTR, PTR, PTR, I64, PTR, PTR, PTR);
    sampleThresholds =
        bind("kith_sample_thresholds", I32, PTR, PTR, PTR, PTR, PTR, I64, I64, PTR, PTR);
    sparseSum =
        bind("kith_sparse_accumulate", I32, PTR, PTR, I32, I64, PTR, PTR, PTR, PTR, I32, PTR, PTR);
    sparseCheck = bind("kith_sparse_check", I32, I32, PTR, I64, I64, I64, PTR);

    // family quantize
    codeWords = bind("kith_code_words", I32, PTR, I64, PTR, PTR);
    quantize = bind("kith_quantize", I32, PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR);
    quantizeAccumulate =
        bind("kith_quantize_accumulate", I32, PTR, PTR, PTR, PTR, PTR, I32, PTR, PTR);
    signMajority = bind("kith_sign_majority", I32, PTR, PTR, I64, PTR, PTR);
    codeCheck = bind("kith_code_check", I32, PTR, I64, PTR, I64, PTR);

    // family lowrank
    lowrankLeft = bind("kith_lowrank_left", I32, PTR, PTR, I64, PTR, PTR, PTR, PTR, PTR, PTR, PTR);
    lowrankRight = bind("kith_lowrank_right", I32, PTR, PTR, I64, PTR, PTR, PTR, PTR, PTR, PTR);
    lowrankOrthonormalise = bind("kith_lowrank_orthonormalise", I32, PTR, PTR, I64, I32, PTR, PTR);
    lowrankResidual =
        bind("kith_lowrank_residual", I32, PTR, PTR, I64, PTR, PTR, PTR, PTR, PTR, PTR, PTR);
    lowrankAccumulate =
        bind("kith_lowrank_accumulate", I32, PTR, PTR, PTR, I64, PTR, PTR, PTR, PTR, I32, PTR, PTR);

    // family noise
    noise = bind("kith_noise", I32, PTR, PTR, PTR, F64, I32, PTR, PTR);

    // family curvature
    curvatureStep = bind("kith_curvature_step", I32, PTR, PTR, F64, PTR, PTR, PTR, PTR, PTR, PTR);
    hutchinson = bind("kith_hutchinson", I32, PTR, PTR, F64, PTR, PTR, PTR);
    oasisStatistics =
        bind(
            "kith_oasis_statistics",
            I32,
            PTR,
            PTR,
            F64,
            F64,
            PTR,
            PTR,
            PTR,
            PTR,
            PTR,
            PTR,
            PTR,
            PTR);
    oasisStep = bind("kith_oasis_step", I32, PTR, F64, I32, PTR, PTR, PTR, PTR, PTR, PTR);
    dots = bind("kith_dots", I32, PTR, PTR, PTR, PTR, PTR);
    cgUpdate = bind("kith_cg_update", I32, PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR);

    // family factorization
    eigen = bind("kith_eigen", I32, PTR, I64, PTR, PTR, PTR, PTR, PTR);
    qr = bind("kith_qr", I32, PTR, I64, PTR, PTR, PTR, PTR);
    polar = bind("kith_polar", I32, PTR, I64, PTR, PTR, PTR, PTR, PTR);
    tangent = bind("kith_tangent", I32, PTR, I64, PTR, PTR, PTR, PTR);
    cholesky = bind("kith_cholesky", I32, PTR, I64, PTR, PTR, PTR, PTR);
    choleskySolve = bind("kith_cholesky_solve", I32, PTR, I64, PTR, PTR, PTR, PTR);
    choleskyUpdate = bind("kith_cholesky_update", I32, PTR, I64, I32, PTR, PTR, PTR, PTR);

    // what the benchmarks compare with
    twin = bind("kith_twin", I32, PTR, PTR, I32, PTR, I32, I32, PTR, PTR);
  }

  /**
   * The handle of a symbol. The version is compared before anything else is bound: a library of
   * another version may lack symbols, and the version is what its user can mend.
   */
  private MethodHandle bind(String symbol, MemoryLayout returned, MemoryLayout... arguments) {
    Optional<MemorySegment> address = library.find(symbol);
    if (address.isEmpty()) {
      throw new UnsatisfiedLinkError(
          path + " has no symbol " + symbol + ": it is no library of Kith, or a broken build");
    }
    return Linker.nativeLinker()
        .downcallHandle(address.get(), FunctionDescriptor.of(returned, arguments));
  }

  /**
   * Compares the version of a library with the one that this class binds.
   *
   * @param found what kith_abi_version returned
   * @param path the library's name, for the message
   * @throws UnsatisfiedLinkError if they do not go together; says which of the two to upgrade
   */
  static void checkVersion(int found, String path) {
    int major = found >>> 16;
    int minor = found & 0xffff;
    if (major != MAJOR || minor < MINOR) {
      throw new UnsatisfiedLinkError(mismatch(major, minor, MAJOR, MINOR, path));
    }
  }

  /** What to say about a library of one version when another is needed. */
  static String mismatch(int major, int minor, int neededMajor, int neededMinor, String path) {
    return "%s implements version %d.%d of the ABI and this jar needs %d.%d or a later %d.x: upgrade the %s"
        .formatted(
            path,
            major,
            minor,
            neededMajor,
            neededMinor,
            neededMajor,
            major <= neededMajor ? "library" : "jar");
  }

  /**
   * The name of a status.
   *
   * @param status a kith_status
   * @return its name without the prefix, or its number if it has none
   */
  public static String statusName(int status) {
    return status >= 0 && status < STATUS_NAMES.length ? STATUS_NAMES[status] : "status " + status;
  }

  /**
   * The number of a constant in the header. {@code ci/check-abi} compares the order of {@code
   * DType} and {@code Reduction.Kind} with it.
   *
   * @param constant one of these
   * @return a kith_dtype or kith_reduction
   */
  @SuppressWarnings("EnumOrdinal") // Checked: see above.
  public static int number(Enum<?> constant) {
    return constant.ordinal();
  }

  /**
   * The offset of a struct's member.
   *
   * @param struct one of the layouts of this class
   * @param member the member's name in the header
   * @return bytes from the start of the struct
   */
  public static long offset(StructLayout struct, String member) {
    return struct.byteOffset(groupElement(member));
  }

  /**
   * The library's path or name.
   *
   * @return what it was loaded from
   */
  public String path() {
    return path;
  }

  private static String text(MemorySegment text) {
    return text.address() == 0 ? "" : text.reinterpret(Long.MAX_VALUE).getString(0);
  }

  private static AssertionError broken(String symbol, Throwable cause) {
    return new AssertionError(
        "the call of " + symbol + " failed before it reached native code", cause);
  }

  // ---- library

  public int abiVersion() {
    try {
      return (int) abiVersion.invokeExact();
    } catch (Throwable t) {
      throw broken("kith_abi_version", t);
    }
  }

  public String buildInfo() {
    MemorySegment text;
    try {
      text = (MemorySegment) buildInfo.invokeExact();
    } catch (Throwable t) {
      throw broken("kith_build_info", t);
    }
    return text(text);
  }

  public String backend() {
    MemorySegment text;
    try {
      text = (MemorySegment) backend.invokeExact();
    } catch (Throwable t) {
      throw broken("kith_backend", t);
    }
    return text(text);
  }

  public String cpuTier() {
    MemorySegment text;
    try {
      text = (MemorySegment) cpuTier.invokeExact();
    } catch (Throwable t) {
      throw broken("kith_cpu_tier", t);
    }
    return text(text);
  }

  public int selectTier(MemorySegment tier, MemorySegment call) {
    try {
      return (int) selectTier.invokeExact(tier, call);
    } catch (Throwable t) {
      throw broken("kith_select_tier", t);
    }
  }

  // ---- devices, queues, events

  public int deviceCount(MemorySegment count, MemorySegment call) {
    try {
      return (int) deviceCount.invokeExact(count, call);
    } catch (Throwable t) {
      throw broken("kith_device_count", t);
    }
  }

  public int deviceOpen(int ordinal, int threads, MemorySegment device, MemorySegment call) {
    try {
      return (int) deviceOpen.invokeExact(ordinal, threads, device, call);
    } catch (Throwable t) {
      throw broken("kith_device_open", t);
    }
  }

  public int deviceName(
      MemorySegment device, MemorySegment name, long capacity, MemorySegment call) {
    try {
      return (int) deviceName.invokeExact(device, name, capacity, call);
    } catch (Throwable t) {
      throw broken("kith_device_name", t);
    }
  }

  public int deviceMemory(
      MemorySegment device,
      MemorySegment totalBytes,
      MemorySegment liveBytes,
      MemorySegment liveAllocations,
      MemorySegment call) {
    try {
      return (int) deviceMemory.invokeExact(device, totalBytes, liveBytes, liveAllocations, call);
    } catch (Throwable t) {
      throw broken("kith_device_memory", t);
    }
  }

  public int deviceThreads(MemorySegment device, MemorySegment threads, MemorySegment call) {
    try {
      return (int) deviceThreads.invokeExact(device, threads, call);
    } catch (Throwable t) {
      throw broken("kith_device_threads", t);
    }
  }

  public int deviceSetThreads(MemorySegment device, int threads, MemorySegment call) {
    try {
      return (int) deviceSetThreads.invokeExact(device, threads, call);
    } catch (Throwable t) {
      throw broken("kith_device_set_threads", t);
    }
  }

  public int queueCreate(MemorySegment device, MemorySegment queue, MemorySegment call) {
    try {
      return (int) queueCreate.invokeExact(device, queue, call);
    } catch (Throwable t) {
      throw broken("kith_queue_create", t);
    }
  }

  public int queueDestroy(MemorySegment queue, MemorySegment call) {
    try {
      return (int) queueDestroy.invokeExact(queue, call);
    } catch (Throwable t) {
      throw broken("kith_queue_destroy", t);
    }
  }

  public int queueSync(MemorySegment queue, long timeoutNanos, MemorySegment call) {
    try {
      return (int) queueSync.invokeExact(queue, timeoutNanos, call);
    } catch (Throwable t) {
      throw broken("kith_queue_sync", t);
    }
  }

  public int eventCreate(MemorySegment device, MemorySegment event, MemorySegment call) {
    try {
      return (int) eventCreate.invokeExact(device, event, call);
    } catch (Throwable t) {
      throw broken("kith_event_create", t);
    }
  }

  public int eventDestroy(MemorySegment event, MemorySegment call) {
    try {
      return (int) eventDestroy.invokeExact(event, call);
    } catch (Throwable t) {
      throw broken("kith_event_destroy", t);
    }
  }

  public int eventRecord(MemorySegment event, MemorySegment queue, MemorySegment call) {
    try {
      return (int) eventRecord.invokeExact(event, queue, call);
    } catch (Throwable t) {
      throw broken("kith_event_record", t);
    }
  }

  public int eventWait(MemorySegment event, MemorySegment queue, MemorySegment call) {
    try {
      return (int) eventWait.invokeExact(event, queue, call);
    } catch (Throwable t) {
      throw broken("kith_event_wait", t);
    }
  }

  public int eventQuery(MemorySegment event, MemorySegment done, MemorySegment call) {
    try {
      return (int) eventQuery.invokeExact(event, done, call);
    } catch (Throwable t) {
      throw broken("kith_event_query", t);
    }
  }

  public int queueWrap(
      MemorySegment device, MemorySegment stream, MemorySegment queue, MemorySegment call) {
    try {
      return (int) queueWrap.invokeExact(device, stream, queue, call);
    } catch (Throwable t) {
      throw broken("kith_queue_wrap", t);
    }
  }

  public int queueStream(MemorySegment queue, MemorySegment stream, MemorySegment call) {
    try {
      return (int) queueStream.invokeExact(queue, stream, call);
    } catch (Throwable t) {
      throw broken("kith_queue_stream", t);
    }
  }

  public int graphBegin(MemorySegment queue, MemorySegment call) {
    try {
      return (int) graphBegin.invokeExact(queue, call);
    } catch (Throwable t) {
      throw broken("kith_graph_begin", t);
    }
  }

  public int graphEnd(MemorySegment queue, MemorySegment graph, MemorySegment call) {
    try {
      return (int) graphEnd.invokeExact(queue, graph, call);
    } catch (Throwable t) {
      throw broken("kith_graph_end", t);
    }
  }

  public int graphLaunch(MemorySegment graph, MemorySegment queue, MemorySegment call) {
    try {
      return (int) graphLaunch.invokeExact(graph, queue, call);
    } catch (Throwable t) {
      throw broken("kith_graph_launch", t);
    }
  }

  public int graphRelease(MemorySegment graph, MemorySegment call) {
    try {
      return (int) graphRelease.invokeExact(graph, call);
    } catch (Throwable t) {
      throw broken("kith_graph_release", t);
    }
  }

  // ---- family memory

  public int memoryAllocate(
      MemorySegment queue, long bytes, MemorySegment memory, MemorySegment call) {
    try {
      return (int) memoryAllocate.invokeExact(queue, bytes, memory, call);
    } catch (Throwable t) {
      throw broken("kith_memory_allocate", t);
    }
  }

  public int memoryWrap(
      MemorySegment device,
      MemorySegment address,
      long bytes,
      MemorySegment memory,
      MemorySegment call) {
    try {
      return (int) memoryWrap.invokeExact(device, address, bytes, memory, call);
    } catch (Throwable t) {
      throw broken("kith_memory_wrap", t);
    }
  }

  public int memoryRelease(MemorySegment memory, MemorySegment call) {
    try {
      return (int) memoryRelease.invokeExact(memory, call);
    } catch (Throwable t) {
      throw broken("kith_memory_release", t);
    }
  }

  public int memoryAddress(
      MemorySegment memory, MemorySegment address, MemorySegment host, MemorySegment call) {
    try {
      return (int) memoryAddress.invokeExact(memory, address, host, call);
    } catch (Throwable t) {
      throw broken("kith_memory_address", t);
    }
  }

  public int fill(MemorySegment queue, MemorySegment m, double value, MemorySegment call) {
    try {
      return (int) fill.invokeExact(queue, m, value, call);
    } catch (Throwable t) {
      throw broken("kith_fill", t);
    }
  }

  public int convert(
      MemorySegment queue, MemorySegment from, MemorySegment to, MemorySegment call) {
    try {
      return (int) convert.invokeExact(queue, from, to, call);
    } catch (Throwable t) {
      throw broken("kith_convert", t);
    }
  }

  public int upload(
      MemorySegment queue,
      MemorySegment host,
      long hostStride,
      MemorySegment to,
      MemorySegment call) {
    try {
      return (int) upload.invokeExact(queue, host, hostStride, to, call);
    } catch (Throwable t) {
      throw broken("kith_upload", t);
    }
  }

  public int download(
      MemorySegment queue,
      MemorySegment from,
      MemorySegment host,
      long hostStride,
      MemorySegment call) {
    try {
      return (int) download.invokeExact(queue, from, host, hostStride, call);
    } catch (Throwable t) {
      throw broken("kith_download", t);
    }
  }

  public int gatherRows(
      MemorySegment queue,
      MemorySegment from,
      MemorySegment index,
      MemorySegment to,
      MemorySegment call) {
    try {
      return (int) gatherRows.invokeExact(queue, from, index, to, call);
    } catch (Throwable t) {
      throw broken("kith_gather_rows", t);
    }
  }

  // ---- family mixing

  public int weightsSparse(
      MemorySegment queue,
      long rows,
      long cols,
      MemorySegment rowOffsets,
      MemorySegment columns,
      MemorySegment values,
      MemorySegment outputRows,
      MemorySegment weights,
      MemorySegment call) {
    try {
      return (int)
          weightsSparse.invokeExact(
              queue, rows, cols, rowOffsets, columns, values, outputRows, weights, call);
    } catch (Throwable t) {
      throw broken("kith_weights_sparse", t);
    }
  }

  public int weightsDense(
      MemorySegment queue,
      long rows,
      long cols,
      MemorySegment values,
      MemorySegment weights,
      MemorySegment call) {
    try {
      return (int) weightsDense.invokeExact(queue, rows, cols, values, weights, call);
    } catch (Throwable t) {
      throw broken("kith_weights_dense", t);
    }
  }

  public int weightsPairwise(MemorySegment weights, MemorySegment pairwise, MemorySegment call) {
    try {
      return (int) weightsPairwise.invokeExact(weights, pairwise, call);
    } catch (Throwable t) {
      throw broken("kith_weights_pairwise", t);
    }
  }

  public int weightsRelease(MemorySegment weights, MemorySegment call) {
    try {
      return (int) weightsRelease.invokeExact(weights, call);
    } catch (Throwable t) {
      throw broken("kith_weights_release", t);
    }
  }

  public int mix(
      MemorySegment queue,
      MemorySegment weights,
      MemorySegment expression,
      MemorySegment y,
      MemorySegment flags,
      MemorySegment call) {
    try {
      return (int) mix.invokeExact(queue, weights, expression, y, flags, call);
    } catch (Throwable t) {
      throw broken("kith_mix", t);
    }
  }

  // ---- family reduction

  public int reduceRows(
      MemorySegment queue,
      int reduction,
      MemorySegment a,
      MemorySegment b,
      MemorySegment out,
      MemorySegment call) {
    try {
      return (int) reduceRows.invokeExact(queue, reduction, a, b, out, call);
    } catch (Throwable t) {
      throw broken("kith_reduce_rows", t);
    }
  }

  public int reduceSegments(
      MemorySegment queue,
      int reduction,
      MemorySegment a,
      MemorySegment b,
      MemorySegment bounds,
      long segments,
      MemorySegment out,
      MemorySegment call) {
    try {
      return (int) reduceSegments.invokeExact(queue, reduction, a, b, bounds, segments, out, call);
    } catch (Throwable t) {
      throw broken("kith_reduce_segments", t);
    }
  }

  public int gram(
      MemorySegment queue,
      MemorySegment a,
      MemorySegment b,
      MemorySegment out,
      MemorySegment call) {
    try {
      return (int) gram.invokeExact(queue, a, b, out, call);
    } catch (Throwable t) {
      throw broken("kith_gram", t);
    }
  }

  public int reduceNodes(
      MemorySegment queue,
      MemorySegment x,
      MemorySegment remote,
      MemorySegment program,
      long programLength,
      double divisor,
      MemorySegment out,
      MemorySegment distances,
      MemorySegment call) {
    try {
      return (int)
          reduceNodes.invokeExact(
              queue, x, remote, program, programLength, divisor, out, distances, call);
    } catch (Throwable t) {
      throw broken("kith_reduce_nodes", t);
    }
  }

  // ---- family step

  public int applyStep(
      MemorySegment queue,
      MemorySegment step,
      MemorySegment x,
      MemorySegment g,
      MemorySegment s1,
      MemorySegment s2,
      MemorySegment call) {
    try {
      return (int) applyStep.invokeExact(queue, step, x, g, s1, s2, call);
    } catch (Throwable t) {
      throw broken("kith_apply_step", t);
    }
  }

  public int applySteps(
      MemorySegment queue,
      MemorySegment step,
      long count,
      MemorySegment x,
      MemorySegment g,
      MemorySegment s1,
      MemorySegment s2,
      MemorySegment call) {
    try {
      return (int) applySteps.invokeExact(queue, step, count, x, g, s1, s2, call);
    } catch (Throwable t) {
      throw broken("kith_apply_steps", t);
    }
  }

  // ---- family product

  public int productUseBlas(MemorySegment path, MemorySegment call) {
    try {
      return (int) productUseBlas.invokeExact(path, call);
    } catch (Throwable t) {
      throw broken("kith_product_use_blas", t);
    }
  }

  public int productBlas(MemorySegment path, long capacity, MemorySegment call) {
    try {
      return (int) productBlas.invokeExact(path, capacity, call);
    } catch (Throwable t) {
      throw broken("kith_product_blas", t);
    }
  }

  public int multiply(
      MemorySegment queue,
      long batches,
      double alpha,
      MemorySegment a,
      int transposeA,
      MemorySegment b,
      int transposeB,
      double beta,
      MemorySegment c,
      MemorySegment call) {
    try {
      return (int)
          multiply.invokeExact(queue, batches, alpha, a, transposeA, b, transposeB, beta, c, call);
    } catch (Throwable t) {
      throw broken("kith_multiply", t);
    }
  }

  public int multiplySymmetric(
      MemorySegment queue,
      long batches,
      double alpha,
      MemorySegment a,
      int transposeA,
      double beta,
      MemorySegment d,
      double gamma,
      MemorySegment c,
      MemorySegment call) {
    try {
      return (int)
          multiplySymmetric.invokeExact(
              queue, batches, alpha, a, transposeA, beta, d, gamma, c, call);
    } catch (Throwable t) {
      throw broken("kith_multiply_symmetric", t);
    }
  }

  public int biasActivate(
      MemorySegment queue,
      long batches,
      MemorySegment h,
      MemorySegment bias,
      int activation,
      MemorySegment call) {
    try {
      return (int) biasActivate.invokeExact(queue, batches, h, bias, activation, call);
    } catch (Throwable t) {
      throw broken("kith_bias_activate", t);
    }
  }

  public int biasActivateBackward(
      MemorySegment queue,
      long batches,
      MemorySegment h,
      MemorySegment d,
      MemorySegment biasGradient,
      int activation,
      MemorySegment call) {
    try {
      return (int) biasBackward.invokeExact(queue, batches, h, d, biasGradient, activation, call);
    } catch (Throwable t) {
      throw broken("kith_bias_activate_backward", t);
    }
  }

  public int softmaxCrossEntropy(
      MemorySegment queue,
      long batches,
      MemorySegment logits,
      MemorySegment labels,
      MemorySegment gradient,
      MemorySegment loss,
      MemorySegment correct,
      MemorySegment call) {
    try {
      return (int)
          softmaxLoss.invokeExact(queue, batches, logits, labels, gradient, loss, correct, call);
    } catch (Throwable t) {
      throw broken("kith_softmax_cross_entropy", t);
    }
  }

  public int softmaxCurvature(
      MemorySegment queue,
      long batches,
      MemorySegment logits,
      MemorySegment u,
      MemorySegment call) {
    try {
      return (int) softmaxCurvature.invokeExact(queue, batches, logits, u, call);
    } catch (Throwable t) {
      throw broken("kith_softmax_curvature", t);
    }
  }

  // ---- family sparsify

  public int selectTop(
      MemorySegment queue,
      MemorySegment x,
      MemorySegment minus,
      MemorySegment residual,
      long k,
      long block,
      MemorySegment messages,
      MemorySegment flags,
      MemorySegment call) {
    try {
      return (int)
          selectTop.invokeExact(queue, x, minus, residual, k, block, messages, flags, call);
    } catch (Throwable t) {
      throw broken("kith_select_top", t);
    }
  }

  public int selectAt(
      MemorySegment queue,
      MemorySegment x,
      MemorySegment minus,
      MemorySegment residual,
      MemorySegment indices,
      double scale,
      MemorySegment messages,
      MemorySegment flags,
      MemorySegment call) {
    try {
      return (int)
          selectAt.invokeExact(queue, x, minus, residual, indices, scale, messages, flags, call);
    } catch (Throwable t) {
      throw broken("kith_select_at", t);
    }
  }

  public int selectAbove(
      MemorySegment queue,
      MemorySegment x,
      MemorySegment minus,
      MemorySegment residual,
      MemorySegment thresholds,
      long capacity,
      MemorySegment messages,
      MemorySegment flags,
      MemorySegment call) {
    try {
      return (int)
          selectAbove.invokeExact(
              queue, x, minus, residual, thresholds, capacity, messages, flags, call);
    } catch (Throwable t) {
      throw broken("kith_select_above", t);
    }
  }

  public int sampleThresholds(
      MemorySegment queue,
      MemorySegment x,
      MemorySegment minus,
      MemorySegment residual,
      MemorySegment draw,
      long k,
      long samples,
      MemorySegment thresholds,
      MemorySegment call) {
    try {
      return (int)
          sampleThresholds.invokeExact(
              queue, x, minus, residual, draw, k, samples, thresholds, call);
    } catch (Throwable t) {
      throw broken("kith_sample_thresholds", t);
    }
  }

  public int sparseAccumulate(
      MemorySegment queue,
      MemorySegment weights,
      int form,
      long entries,
      MemorySegment indices,
      MemorySegment haloIndices,
      MemorySegment messages,
      MemorySegment halo,
      int add,
      MemorySegment y,
      MemorySegment call) {
    try {
      return (int)
          sparseSum.invokeExact(
              queue, weights, form, entries, indices, haloIndices, messages, halo, add, y, call);
    } catch (Throwable t) {
      throw broken("kith_sparse_accumulate", t);
    }
  }

  public int sparseCheck(
      int form, MemorySegment words, long wordCount, long cols, long entries, MemorySegment call) {
    try {
      return (int) sparseCheck.invokeExact(form, words, wordCount, cols, entries, call);
    } catch (Throwable t) {
      throw broken("kith_sparse_check", t);
    }
  }

  // ---- family quantize

  public int codeWords(MemorySegment code, long cols, MemorySegment words, MemorySegment call) {
    try {
      return (int) codeWords.invokeExact(code, cols, words, call);
    } catch (Throwable t) {
      throw broken("kith_code_words", t);
    }
  }

  public int quantize(
      MemorySegment queue,
      MemorySegment code,
      MemorySegment draw,
      MemorySegment x,
      MemorySegment minus,
      MemorySegment residual,
      MemorySegment messages,
      MemorySegment flags,
      MemorySegment call) {
    try {
      return (int)
          quantize.invokeExact(queue, code, draw, x, minus, residual, messages, flags, call);
    } catch (Throwable t) {
      throw broken("kith_quantize", t);
    }
  }

  public int quantizeAccumulate(
      MemorySegment queue,
      MemorySegment weights,
      MemorySegment code,
      MemorySegment messages,
      MemorySegment halo,
      int add,
      MemorySegment y,
      MemorySegment call) {
    try {
      return (int)
          quantizeAccumulate.invokeExact(queue, weights, code, messages, halo, add, y, call);
    } catch (Throwable t) {
      throw broken("kith_quantize_accumulate", t);
    }
  }

  public int signMajority(
      MemorySegment queue,
      MemorySegment messages,
      long cols,
      MemorySegment out,
      MemorySegment call) {
    try {
      return (int) signMajority.invokeExact(queue, messages, cols, out, call);
    } catch (Throwable t) {
      throw broken("kith_sign_majority", t);
    }
  }

  public int codeCheck(
      MemorySegment code, long cols, MemorySegment words, long count, MemorySegment call) {
    try {
      return (int) codeCheck.invokeExact(code, cols, words, count, call);
    } catch (Throwable t) {
      throw broken("kith_code_check", t);
    }
  }

  // ---- family lowrank

  public int lowrankLeft(
      MemorySegment queue,
      MemorySegment shapes,
      long count,
      MemorySegment x,
      MemorySegment minus,
      MemorySegment residual,
      MemorySegment q,
      MemorySegment p,
      MemorySegment flags,
      MemorySegment call) {
    try {
      return (int)
          lowrankLeft.invokeExact(queue, shapes, count, x, minus, residual, q, p, flags, call);
    } catch (Throwable t) {
      throw broken("kith_lowrank_left", t);
    }
  }

  public int lowrankRight(
      MemorySegment queue,
      MemorySegment shapes,
      long count,
      MemorySegment x,
      MemorySegment minus,
      MemorySegment residual,
      MemorySegment p,
      MemorySegment q,
      MemorySegment call) {
    try {
      return (int) lowrankRight.invokeExact(queue, shapes, count, x, minus, residual, p, q, call);
    } catch (Throwable t) {
      throw broken("kith_lowrank_right", t);
    }
  }

  public int lowrankOrthonormalise(
      MemorySegment queue,
      MemorySegment shapes,
      long count,
      int right,
      MemorySegment factors,
      MemorySegment call) {
    try {
      return (int) lowrankOrthonormalise.invokeExact(queue, shapes, count, right, factors, call);
    } catch (Throwable t) {
      throw broken("kith_lowrank_orthonormalise", t);
    }
  }

  public int lowrankResidual(
      MemorySegment queue,
      MemorySegment shapes,
      long count,
      MemorySegment x,
      MemorySegment minus,
      MemorySegment residual,
      MemorySegment p,
      MemorySegment q,
      MemorySegment out,
      MemorySegment call) {
    try {
      return (int)
          lowrankResidual.invokeExact(queue, shapes, count, x, minus, residual, p, q, out, call);
    } catch (Throwable t) {
      throw broken("kith_lowrank_residual", t);
    }
  }

  public int lowrankAccumulate(
      MemorySegment queue,
      MemorySegment weights,
      MemorySegment shapes,
      long count,
      MemorySegment p,
      MemorySegment q,
      MemorySegment haloP,
      MemorySegment haloQ,
      int add,
      MemorySegment y,
      MemorySegment call) {
    try {
      return (int)
          lowrankAccumulate.invokeExact(
              queue, weights, shapes, count, p, q, haloP, haloQ, add, y, call);
    } catch (Throwable t) {
      throw broken("kith_lowrank_accumulate", t);
    }
  }

  // ---- family noise

  public int noise(
      MemorySegment queue,
      MemorySegment weights,
      MemorySegment field,
      double scale,
      int add,
      MemorySegment y,
      MemorySegment call) {
    try {
      return (int) noise.invokeExact(queue, weights, field, scale, add, y, call);
    } catch (Throwable t) {
      throw broken("kith_noise", t);
    }
  }

  // ---- family curvature

  public int curvatureStep(
      MemorySegment queue,
      MemorySegment step,
      double scale,
      MemorySegment x,
      MemorySegment g,
      MemorySegment h,
      MemorySegment s1,
      MemorySegment s2,
      MemorySegment call) {
    try {
      return (int) curvatureStep.invokeExact(queue, step, scale, x, g, h, s1, s2, call);
    } catch (Throwable t) {
      throw broken("kith_curvature_step", t);
    }
  }

  public int hutchinson(
      MemorySegment queue,
      MemorySegment field,
      double beta,
      MemorySegment hz,
      MemorySegment d,
      MemorySegment call) {
    try {
      return (int) hutchinson.invokeExact(queue, field, beta, hz, d, call);
    } catch (Throwable t) {
      throw broken("kith_hutchinson", t);
    }
  }

  public int oasisStatistics(
      MemorySegment queue,
      MemorySegment field,
      double beta,
      double alpha,
      MemorySegment hz,
      MemorySegment d,
      MemorySegment x,
      MemorySegment xBefore,
      MemorySegment g,
      MemorySegment gBefore,
      MemorySegment norms,
      MemorySegment call) {
    try {
      return (int)
          oasisStatistics.invokeExact(
              queue, field, beta, alpha, hz, d, x, xBefore, g, gBefore, norms, call);
    } catch (Throwable t) {
      throw broken("kith_oasis_statistics", t);
    }
  }

  public int oasisStep(
      MemorySegment queue,
      double alpha,
      int floor,
      MemorySegment eta,
      MemorySegment d,
      MemorySegment g,
      MemorySegment x,
      MemorySegment xBefore,
      MemorySegment call) {
    try {
      return (int) oasisStep.invokeExact(queue, alpha, floor, eta, d, g, x, xBefore, call);
    } catch (Throwable t) {
      throw broken("kith_oasis_step", t);
    }
  }

  public int dots(
      MemorySegment queue,
      MemorySegment r,
      MemorySegment w,
      MemorySegment out,
      MemorySegment call) {
    try {
      return (int) dots.invokeExact(queue, r, w, out, call);
    } catch (Throwable t) {
      throw broken("kith_dots", t);
    }
  }

  public int cgUpdate(
      MemorySegment queue,
      MemorySegment alpha,
      MemorySegment beta,
      MemorySegment r,
      MemorySegment w,
      MemorySegment p,
      MemorySegment s,
      MemorySegment x,
      MemorySegment call) {
    try {
      return (int) cgUpdate.invokeExact(queue, alpha, beta, r, w, p, s, x, call);
    } catch (Throwable t) {
      throw broken("kith_cg_update", t);
    }
  }

  // ---- family factorization

  public int eigen(
      MemorySegment queue,
      long batches,
      MemorySegment a,
      MemorySegment values,
      MemorySegment vectors,
      MemorySegment sweeps,
      MemorySegment call) {
    try {
      return (int) eigen.invokeExact(queue, batches, a, values, vectors, sweeps, call);
    } catch (Throwable t) {
      throw broken("kith_eigen", t);
    }
  }

  public int qr(
      MemorySegment queue,
      long batches,
      MemorySegment a,
      MemorySegment q,
      MemorySegment r,
      MemorySegment call) {
    try {
      return (int) qr.invokeExact(queue, batches, a, q, r, call);
    } catch (Throwable t) {
      throw broken("kith_qr", t);
    }
  }

  public int polar(
      MemorySegment queue,
      long batches,
      MemorySegment y,
      MemorySegment x,
      MemorySegment distance,
      MemorySegment rank,
      MemorySegment call) {
    try {
      return (int) polar.invokeExact(queue, batches, y, x, distance, rank, call);
    } catch (Throwable t) {
      throw broken("kith_polar", t);
    }
  }

  public int tangent(
      MemorySegment queue,
      long batches,
      MemorySegment x,
      MemorySegment z,
      MemorySegment out,
      MemorySegment call) {
    try {
      return (int) tangent.invokeExact(queue, batches, x, z, out, call);
    } catch (Throwable t) {
      throw broken("kith_tangent", t);
    }
  }

  public int cholesky(
      MemorySegment queue,
      long batches,
      MemorySegment a,
      MemorySegment l,
      MemorySegment failed,
      MemorySegment call) {
    try {
      return (int) cholesky.invokeExact(queue, batches, a, l, failed, call);
    } catch (Throwable t) {
      throw broken("kith_cholesky", t);
    }
  }

  public int choleskySolve(
      MemorySegment queue,
      long batches,
      MemorySegment l,
      MemorySegment b,
      MemorySegment x,
      MemorySegment call) {
    try {
      return (int) choleskySolve.invokeExact(queue, batches, l, b, x, call);
    } catch (Throwable t) {
      throw broken("kith_cholesky_solve", t);
    }
  }

  public int choleskyUpdate(
      MemorySegment queue,
      long batches,
      int downdate,
      MemorySegment l,
      MemorySegment v,
      MemorySegment failed,
      MemorySegment call) {
    try {
      return (int) choleskyUpdate.invokeExact(queue, batches, downdate, l, v, failed, call);
    } catch (Throwable t) {
      throw broken("kith_cholesky_update", t);
    }
  }

  // ---- what the benchmarks compare with

  public int twin(
      MemorySegment queue,
      MemorySegment sources,
      int readCount,
      MemorySegment targets,
      int writeCount,
      int nontemporal,
      MemorySegment sink,
      MemorySegment call) {
    try {
      return (int)
          twin.invokeExact(queue, sources, readCount, targets, writeCount, nontemporal, sink, call);
    } catch (Throwable t) {
      throw broken("kith_twin", t);
    }
  }
}
