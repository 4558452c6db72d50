/**
 * The part of tfjs-swa that needs Node, name by name: `tfjs-swa/node`.
 * @module
 */
export { fileSystem, type FileSystemOptions } from './checkpoint/file_system.js';
