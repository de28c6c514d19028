package dev.kith.lab.report;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.FontMetrics;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.geom.Ellipse2D;
import java.awt.geom.Line2D;
import java.awt.geom.Path2D;
import java.awt.image.BufferedImage;

/** A {@link GraphPicture} with its title and caption as a picture of 1280 x 1000 pixels. */
final class PngGraph {
  private static final int WIDTH = 1280;
  private static final int HEIGHT = 1000;
  private static final int SIDE = 760;
  private static final Color EDGE = new Color(0x9aa5b1);

  private final Graphics2D graphics;
  private final GraphPicture picture;
  private final double[][] at;

  private PngGraph(Graphics2D graphics, GraphPicture picture) {
    this.graphics = graphics;
    this.picture = picture;
    this.at = GraphLayout.place(picture.neighbours());
  }

  static BufferedImage of(GraphPicture picture) {
    BufferedImage image = new BufferedImage(WIDTH, HEIGHT, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    try {
      graphics.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
      graphics.setRenderingHint(
          RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
      graphics.setColor(Color.WHITE);
      graphics.fillRect(0, 0, WIDTH, HEIGHT);
      new PngGraph(graphics, picture).draw();
    } finally {
      graphics.dispose();
    }
    return image;
  }

  private void draw() {
    double radius = picture.radius(SIDE) * 1.6;
    int[][] neighbours = picture.neighbours();
    graphics.setColor(EDGE);
    graphics.setStroke(new BasicStroke(neighbours.length > 100 ? 1 : 2.5f));
    for (int i = 0; i < neighbours.length; i++) {
      for (int j : neighbours[i]) {
        boolean back = picture.sends(j, i);
        if (i != j && (!back || i < j)) {
          graphics.draw(new Line2D.Double(x(i), y(i), x(j), y(j)));
          if (picture.directed() && !back) {
            arrow(i, j, radius);
          }
        }
      }
    }
    for (int i = 0; i < neighbours.length; i++) {
      Ellipse2D circle = new Ellipse2D.Double(x(i) - radius, y(i) - radius, 2 * radius, 2 * radius);
      graphics.setColor(picture.gone(i) ? Color.WHITE : PngPlot.COLOURS.getFirst());
      graphics.fill(circle);
      if (picture.gone(i)) {
        graphics.setColor(EDGE);
        graphics.draw(circle);
      }
      if (picture.numbered()) {
        graphics.setColor(picture.gone(i) ? EDGE : Color.WHITE);
        graphics.setFont(PngPlot.font(Font.BOLD, (int) Math.round(radius * 0.95)));
        FontMetrics metrics = graphics.getFontMetrics();
        String number = Integer.toString(i);
        graphics.drawString(
            number,
            (float) (x(i) - metrics.stringWidth(number) / 2.0),
            (float) (y(i) + metrics.getAscent() * 0.36));
      }
    }
    graphics.setColor(PngPlot.INK);
    centred(picture.title(), PngPlot.font(Font.BOLD, 34), 62);
    centred(picture.caption(), PngPlot.font(Font.PLAIN, 26), HEIGHT - 36);
  }

  private void arrow(int from, int to, double radius) {
    double angle = Math.atan2(y(to) - y(from), x(to) - x(from));
    double tipX = x(to) - radius * Math.cos(angle);
    double tipY = y(to) - radius * Math.sin(angle);
    Path2D head = new Path2D.Double();
    head.moveTo(tipX, tipY);
    for (double side : new double[] {-0.4, 0.4}) {
      head.lineTo(tipX - 18 * Math.cos(angle + side), tipY - 18 * Math.sin(angle + side));
    }
    head.closePath();
    graphics.fill(head);
  }

  private void centred(String text, Font font, int baseline) {
    graphics.setFont(font);
    graphics.drawString(text, (WIDTH - graphics.getFontMetrics().stringWidth(text)) / 2, baseline);
  }

  private double x(int i) {
    return (WIDTH - SIDE) / 2.0 + SIDE * at[0][i];
  }

  private double y(int i) {
    return (HEIGHT - SIDE) / 2.0 + SIDE * at[1][i];
  }
}
