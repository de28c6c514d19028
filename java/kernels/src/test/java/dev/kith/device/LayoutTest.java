package dev.kith.device;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class LayoutTest {
  private static final Layout MODEL =
      Layout.builder()
          .tensor("w1", "weights", 4, 3)
          .tensor("b1", "biases", 3)
          .tensor("none", "biases", 0, 7)
          .tensor("b2", "biases", 2)
          .tensor("conv", "weights", 2, 3, 5)
          .build();

  @Test
  void tensorsLieOneAfterTheOther() {
    assertEquals(12 + 3 + 0 + 2 + 30, MODEL.size());
    assertEquals(12, MODEL.tensor("b1").offset());
    assertEquals(15, MODEL.tensor("b2").offset());
    assertEquals(17, MODEL.tensor("conv").offset());
    assertEquals(List.of("weights", "biases"), MODEL.groups());
  }

  @Test
  void aTensorIsAMatrixOfItsFirstDimension() {
    assertEquals(2, MODEL.tensor("conv").rows());
    assertEquals(15, MODEL.tensor("conv").cols());
    assertEquals(1, MODEL.tensor("b1").rows());
    assertEquals(3, MODEL.tensor("b1").cols());
    assertEquals(0, MODEL.tensor("none").size());
  }

  @Test
  void rangesOfAGroupJoinNeighbours() {
    List<long[]> biases = MODEL.ranges("biases");
    assertEquals(1, biases.size());
    assertArrayEquals(new long[] {12, 17}, biases.getFirst());
    List<long[]> weights = MODEL.ranges("weights");
    assertEquals(2, weights.size());
    assertArrayEquals(new long[] {0, 12}, weights.get(0));
    assertArrayEquals(new long[] {17, 47}, weights.get(1));
  }

  @Test
  void unknownNamesAreAnsweredWithTheKnownOnes() {
    IllegalArgumentException tensor =
        assertThrows(IllegalArgumentException.class, () -> MODEL.tensor("w2"));
    assertTrue(tensor.getMessage().contains("\"w2\""), tensor.getMessage());
    assertTrue(tensor.getMessage().contains("conv"), tensor.getMessage());
    IllegalArgumentException group =
        assertThrows(IllegalArgumentException.class, () -> MODEL.ranges("heads"));
    assertTrue(group.getMessage().contains("biases"), group.getMessage());
  }

  @Test
  void impossibleTensorsAreRefused() {
    Layout.Builder builder = Layout.builder().tensor("a", "g", 2);
    assertThrows(IllegalArgumentException.class, () -> builder.tensor("a", "g", 2));
    assertThrows(IllegalArgumentException.class, () -> builder.tensor("b", "g", 2, -1));
    assertThrows(IllegalArgumentException.class, () -> builder.tensor("c", "g"));
    assertThrows(
        IllegalArgumentException.class, () -> builder.tensor("d", "g", 1L << 40, 1L << 40));
    assertEquals(2, builder.build().size());
  }

  @Test
  void shapesCannotBeChangedFromOutside() {
    long[] shape = {2, 3};
    Layout layout = Layout.builder().tensor("a", "g", shape).build();
    shape[0] = 9;
    layout.tensor("a").shape()[1] = 9;
    assertArrayEquals(new long[] {2, 3}, layout.tensor("a").shape());
  }

  @Test
  void layoutsAreEqualByValue() {
    Layout one = Layout.builder().tensor("a", "g", 2, 3).build();
    Layout same = Layout.builder().tensor("a", "g", 2, 3).build();
    assertEquals(one, same);
    assertEquals(one.hashCode(), same.hashCode());
    assertNotEquals(one, Layout.builder().tensor("a", "g", 3, 2).build());
    assertEquals(1, Layout.flat(0).tensors().size());
  }
}
