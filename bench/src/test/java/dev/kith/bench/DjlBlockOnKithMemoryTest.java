package dev.kith.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Model;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Block;
import ai.djl.nn.Parameter;
import ai.djl.nn.core.Linear;
import ai.djl.training.DefaultTrainingConfig;
import ai.djl.training.GradientCollector;
import ai.djl.training.Trainer;
import ai.djl.training.loss.Loss;
import ai.djl.training.optimizer.Optimizer;
import ai.djl.training.tracker.Tracker;
import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/**
 * A row of a Kith matrix is a model: the parameters of a DJL block are bound to it without a copy,
 * DJL trains in place, and Kith mixes what DJL has trained. Guards against a binding that copies
 * and trains something else.
 */
class DjlBlockOnKithMemoryTest {
  private static final int NODES = 4;
  private static final int INPUTS = 6;
  private static final int CLASSES = 3;
  private static final int BATCH = 8;

  @BeforeAll
  static void nothingIsDownloaded() {
    System.setProperty(Libtorch.OFFLINE, "true");
    assertEquals("PyTorch", Engine.getInstance().getEngineName());
  }

  @Test
  void djlTrainsTheRowsOfAMatrixInPlace() {
    Layout layout =
        Layout.builder()
            .tensor("weight", "default", CLASSES, INPUTS)
            .tensor("bias", "default", CLASSES)
            .build();
    double[] uniform = new double[NODES * NODES];
    Arrays.fill(uniform, 1.0 / NODES);
    try (Queue queue = Device.cpu().newQueue();
        DeviceMatrix models = DeviceMatrix.allocate(queue, NODES, layout, DType.F32);
        DeviceMatrix mixed = models.like();
        MixingWeights average = MixingWeights.dense(queue, NODES, NODES, uniform);
        NDManager manager = NDManager.newBaseManager()) {
      for (int node = 0; node < NODES; node++) {
        trainOneRound(models, node, manager);
      }
      float[] trained = models.toFloats();
      double mean = 0;
      for (int node = 0; node < NODES; node++) {
        float first = trained[node * (int) layout.size()];
        // Each node has seen its own data.
        assertTrue(node == 0 || first != trained[0]);
        mean += first / (double) NODES;
      }
      Mixing.mix(average, Expression.inner(models), mixed);
      // Four terms below 1, a half unit in the last place each.
      assertEquals(mean, mixed.get(0, 0), 4 * 0x1p-25);
    }
  }

  private static void trainOneRound(DeviceMatrix models, int node, NDManager manager) {
    try (DeviceMatrix row = models.row(node);
        DeviceMatrix weight = row.tensor("weight");
        DeviceMatrix bias = row.tensor("bias");
        Model model = Model.newInstance("node" + node)) {
      Block block = Linear.builder().setUnits(CLASSES).build();
      block.initialize(manager, DataType.FLOAT32, new Shape(BATCH, INPUTS));
      List<Parameter> parameters = block.getParameters().values();
      bind(parameters.get(0), weight.segment(), new Shape(CLASSES, INPUTS), manager);
      bind(parameters.get(1), bias.segment(), new Shape(CLASSES), manager);
      float[] before = row.toFloats();
      model.setBlock(block);
      DefaultTrainingConfig config =
          // DJL refuses gradients that sum to 0, as those of a cross-entropy do but for rounding.
          new DefaultTrainingConfig(Loss.l2Loss())
              .optOptimizer(Optimizer.sgd().setLearningRateTracker(Tracker.fixed(0.5f)).build());
      try (Trainer trainer = model.newTrainer(config)) {
        trainer.initialize(new Shape(BATCH, INPUTS));
        NDArray features = features(node, manager);
        NDArray labels = labels(node, manager);
        float first = lossAndGradient(trainer, features, labels);
        trainer.step();
        float second = lossAndGradient(trainer, features, labels);
        assertTrue(second < first, "the loss went from " + first + " to " + second);
      }
      // The arrays that DJL holds are still the row, and the row holds what DJL has trained.
      assertEquals(weight.segment().address(), address(parameters.get(0).getArray()));
      assertEquals(bias.segment().address(), address(parameters.get(1).getArray()));
      float[] after = row.toFloats();
      float[] inDjl = parameters.get(0).getArray().toFloatArray();
      for (int k = 0; k < inDjl.length; k++) {
        assertEquals(inDjl[k], after[k]);
      }
      assertNotEquals(before[0], after[0]);
    }
  }

  private static void bind(
      Parameter parameter, MemorySegment memory, Shape shape, NDManager manager) {
    // What DJL drew as initial values moves into the row. (NDArray.copyTo would bind the target to
    // new memory.)
    float[] initial = parameter.getArray().toFloatArray();
    MemorySegment.copy(initial, 0, memory, ValueLayout.JAVA_FLOAT, 0, initial.length);
    ByteBuffer buffer = memory.asByteBuffer().order(ByteOrder.nativeOrder());
    NDArray shared = manager.create(buffer, shape, DataType.FLOAT32);
    parameter.close();
    parameter.setShape(null);
    parameter.setArray(shared);
  }

  private static float lossAndGradient(Trainer trainer, NDArray features, NDArray labels) {
    try (GradientCollector collector = trainer.newGradientCollector()) {
      NDList output = trainer.forward(new NDList(features));
      NDArray loss = trainer.getLoss().evaluate(new NDList(labels), output);
      collector.backward(loss);
      return loss.getFloat();
    }
  }

  private static long address(NDArray array) {
    return MemorySegment.ofBuffer(array.toByteBuffer(true)).address();
  }

  private static NDArray features(int node, NDManager manager) {
    float[] values = new float[BATCH * INPUTS];
    for (int k = 0; k < values.length; k++) {
      values[k] = TestData.at(node, k);
    }
    return manager.create(values, new Shape(BATCH, INPUTS));
  }

  private static NDArray labels(int node, NDManager manager) {
    float[] values = new float[BATCH * CLASSES];
    for (int k = 0; k < BATCH; k++) {
      values[k * CLASSES + (k + node) % CLASSES] = 1;
    }
    return manager.create(values, new Shape(BATCH, CLASSES));
  }
}
