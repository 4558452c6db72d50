/**
 * Deep Q-learning (Mnih et al. 2015) of the cart-pole of Barto, Sutton and Anderson 1983, with a
 * target network that follows softly. Run it with `npx tsx examples/target_network/main.ts`.
 */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { softUpdate } from 'tfjs-swa';

await tf.ready();

/** Place and speed of the cart, angle and angular speed of the pole. */
type State = [x: number, v: number, angle: number, w: number];

/** 0.02 s of a cart of 1 kg under a pole of 0.1 kg and 1 m, pushed with 10 N to the left or right. */
function push([x, v, angle, w]: State, action: number): State {
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
  const pull = ((action === 1 ? 10 : -10) + 0.05 * w * w * sin) / 1.1;
  const turn = (9.8 * sin - cos * pull) / (0.5 * (4 / 3 - (0.1 * cos * cos) / 1.1));
  const speed = pull - (0.05 * turn * cos) / 1.1;
  return [x + 0.02 * v, v + 0.02 * speed, angle + 0.02 * w, w + 0.02 * turn];
}
const fell = ([x, , angle]: State): boolean => Math.abs(x) > 2.4 || Math.abs(angle) > Math.PI / 15;

let seed = 1;
/** Uniform in [0, 1), the same in every run (a linear congruential generator). */
const random = (): number => (seed = (1664525 * seed + 1013904223) % 2 ** 32) / 2 ** 32;

/** Rates the two actions in a state. */
const init = (n: number) => ({ kernelInitializer: tfl.initializers.glorotUniform({ seed: n }) });
const network = (): tfl.Sequential => {
  const net = tfl.sequential();
  net.add(tfl.layers.dense({ units: 32, activation: 'relu', inputShape: [4], ...init(1) }));
  net.add(tfl.layers.dense({ units: 32, activation: 'relu', ...init(2) }));
  net.add(tfl.layers.dense({ units: 2, ...init(3) }));
  return net;
};
const [online, target] = [network(), network()];
softUpdate(target, online, 1); // begins as a copy
const variables = online.trainableWeights.map((weight) => weight.read() as tf.Variable);
const optimizer = tf.train.adam(2e-3);

const memory: [state: State, action: number, next: State, alive: number][] = [];
const rate = (net: tfl.Sequential, states: State[]) => net.apply(tf.tensor2d(states)) as tf.Tensor;

/** One step of the optimizer on 32 steps of the past, and of the target after it. */
function learn(): void {
  const batch = Array.from({ length: 32 }, () => memory[Math.floor(random() * memory.length)]!);
  const states = batch.map(([state]) => state);
  const actions = batch.map(([, action]) => action);
  const nexts = batch.map(([, , next]) => next);
  const alive = batch.map(([, , , is]) => 0.98 * is);
  tf.tidy(() => {
    const goals = tf.add(1, tf.mul(tf.max(rate(target, nexts), 1), alive));
    const taken = tf.oneHot(tf.tensor1d(actions, 'int32'), 2);
    const rated = () => tf.sum(tf.mul(rate(online, states), taken), 1);
    optimizer.minimize(() => tf.losses.huberLoss(goals, rated()), false, variables);
  });
  softUpdate(target, online, 0.02);
}
const greedy = (state: State): number =>
  tf.tidy(() => tf.argMax(rate(online, [state]), 1).dataSync()[0]!);
const returns: number[] = [];
for (let episode = 0; episode < 120; episode++) {
  let state = Array.from({ length: 4 }, () => 0.1 * random() - 0.05) as State;
  let steps = 0;
  for (let done = false; !done && steps < 200; steps++) {
    const action = random() < 0.95 ** episode ? Math.floor(2 * random()) : greedy(state);
    const next = push(state, action);
    done = fell(next);
    memory.push([state, action, next, done ? 0 : 1]);
    if (memory.length > 64 && steps % 2 === 0) learn();
    state = next;
  }
  returns.push(steps);
}
const mean = (list: number[]) => (list.reduce((sum, r) => sum + r) / list.length).toFixed(1);
console.log(`first 20 episodes: a mean return of ${mean(returns.slice(0, 20))} of 200`);
console.log(`last 20 episodes: a mean return of ${mean(returns.slice(-20))} of 200`);
